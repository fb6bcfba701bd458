#include "server/http/trace_context.h"

#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// The examples of W3C Trace Context, sections 3.2.2 and 3.2.5.
TEST(TraceContextTest, TakesWhatTheStandardHas) {
  EXPECT_TRUE(IsTraceparent(kTraceparent));
  EXPECT_EQ(TraceIdOf(kTraceparent), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(ParentIdOf(kTraceparent), "00f067aa0ba902b7");
  EXPECT_TRUE(IsSampled(kTraceparent));
  EXPECT_FALSE(IsSampled(std::string(kTraceparent).substr(0, 53) + "fe"));
  const std::string rest = std::string(kTraceparent).substr(2);
  EXPECT_TRUE(IsTraceparent("cc" + rest));
  EXPECT_TRUE(IsTraceparent("cc" + rest + "-what-the-future-will-be-like"));
}

TEST(TraceContextTest, RefusesAllElse) {
  const std::string good = kTraceparent;
  EXPECT_FALSE(IsTraceparent(""));
  EXPECT_FALSE(IsTraceparent("ff" + good.substr(2)));
  EXPECT_FALSE(IsTraceparent(good + "-more"));
  EXPECT_FALSE(IsTraceparent("cc" + good.substr(2) + "more"));
  EXPECT_FALSE(IsTraceparent("cc" + good.substr(2) + "-a b"));
  EXPECT_FALSE(IsTraceparent("cc" + good.substr(2) + "-" + std::string(100, 'a')));
  EXPECT_FALSE(IsTraceparent("00-" + std::string(32, '0') + good.substr(35)));
  EXPECT_FALSE(IsTraceparent(good.substr(0, 36) + std::string(16, '0') + "-01"));
  // Any one byte that is wrong.
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = 'G';
    EXPECT_FALSE(IsTraceparent(bad)) << i;
    EXPECT_FALSE(IsTraceparent(good.substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace spillway
