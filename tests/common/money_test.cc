#include "common/money.h"

#include <random>

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(MoneyTest, ReadsWhatPeopleWriteWithoutRounding) {
  EXPECT_EQ(ParseMoney("0"), 0);
  EXPECT_EQ(ParseMoney("12"), 12'000'000'000);
  EXPECT_EQ(ParseMoney("0.8"), 800'000'000);
  EXPECT_EQ(ParseMoney("0.000000001"), 1);
  EXPECT_EQ(ParseMoney("1000000000"), 1'000'000'000'000'000'000);
  for (const char* wrong : {"", ".", ".5", "1.", "-1", "+1", "1e3", "0.0000000001", "1000000001",
                            "1,5", "1.2.3", " 1", "99999999999999999999"}) {
    EXPECT_EQ(ParseMoney(wrong), std::nullopt) << wrong;
  }
}

TEST(MoneyTest, WritesWhatItReads) {
  EXPECT_EQ(FormatMoney(0), "0.00");
  EXPECT_EQ(FormatMoney(1'500'000'000), "1.50");
  EXPECT_EQ(FormatMoney(1), "0.000000001");
  EXPECT_EQ(FormatMoney(-2'010'000'000), "-2.01");
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto nano = static_cast<int64_t>(random() % 1'000'000'000'000'000);
    EXPECT_EQ(ParseMoney(FormatMoney(nano)), nano);
  }
}

}  // namespace
}  // namespace spillway
