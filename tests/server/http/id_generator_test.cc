#include "server/http/id_generator.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(IdGeneratorTest, IdsDifferAndFollowFromTheSeed) {
  IdGenerator a(1);
  IdGenerator again(1);
  IdGenerator other(2);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = a.Next();
    EXPECT_EQ(id.size(), 24u);
    EXPECT_EQ(id, again.Next());
    EXPECT_TRUE(seen.insert(id).second);
    EXPECT_TRUE(seen.insert(other.Next()).second);
  }
}

}  // namespace
}  // namespace spillway
