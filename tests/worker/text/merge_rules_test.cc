#include "worker/text/merge_rules.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kTokens = {"a", " ", "a ", " a", "b", "ab"};

std::string ErrorOf(std::string_view line) {
  const auto rules = MergeRulesFromLines(kTokens, std::vector{line});
  EXPECT_EQ(rules.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(rules.status().message());
}

TEST(MergeRulesTest, GivesTheIdsOfBothAndOfWhatTheyMake) {
  const auto rules = MergeRulesFromLines(kTokens, std::vector<std::string_view>{"a b"});

  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_THAT(*rules, ElementsAre(MergeRule{0, 4, 5}));
}

TEST(MergeRulesTest, TheFirstCharacterIsNeverTheSeparator) {
  const auto rules = MergeRulesFromLines(kTokens, std::vector<std::string_view>{"  a", "a  "});

  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_THAT(*rules, ElementsAre(MergeRule{1, 0, 3}, MergeRule{0, 1, 2}));
}

TEST(MergeRulesTest, RefusesWhatIsNotTwoTokens) {
  EXPECT_THAT(ErrorOf("ab"), HasSubstr("\"ab\" is not two"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("\"\" is not two"));
  EXPECT_THAT(ErrorOf("a c"), HasSubstr("needs \"c\""));
  EXPECT_THAT(ErrorOf("b a"), HasSubstr("needs \"ba\""));
}

}  // namespace
}  // namespace spillway
