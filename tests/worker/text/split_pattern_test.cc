// What patterns match is held against Oniguruma in pre_tokenizer_test.cc; here, what that can't
// show.
#include "worker/text/split_pattern.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::vector<std::pair<size_t, size_t>> Matches(const std::string& expression,
                                               std::string_view text) {
  const auto pattern = SplitPattern::Parse(expression);
  EXPECT_TRUE(pattern.ok()) << pattern.status();
  std::vector<std::pair<size_t, size_t>> matches;
  pattern->ForEachMatch(text, [&](size_t begin, size_t end) { matches.emplace_back(begin, end); });
  return matches;
}

TEST(SplitPatternTest, TheFirstAlternativeThatLeadsToAMatchWins) {
  EXPECT_THAT(Matches("a|ab", "abab"), ElementsAre(Pair(0, 1), Pair(2, 3)));
  EXPECT_THAT(Matches("(?:a|ab)(?:c|bcd)", "abcd"), ElementsAre(Pair(0, 4)));
}

TEST(SplitPatternTest, EmptyMatchesStandBetweenCharactersAndNotAfterAMatch) {
  EXPECT_THAT(Matches("b*", "abc"), ElementsAre(Pair(0, 0), Pair(1, 2), Pair(3, 3)));
  EXPECT_THAT(Matches("(?=\u4e2d)", "\u4e2d\u4e2d"), ElementsAre(Pair(0, 0), Pair(3, 3)));
}

TEST(SplitPatternTest, LiteralsHaveNoSyntax) {
  const auto pattern = SplitPattern::Literal("a.\u4e2d");
  ASSERT_TRUE(pattern.ok()) << pattern.status();
  std::vector<size_t> begins;
  pattern->ForEachMatch("axc a.\u4e2d", [&](size_t begin, size_t) { begins.push_back(begin); });

  EXPECT_THAT(begins, ElementsAre(4));
}

struct Hard {
  const char* expression;
  std::string text;
};

// Where backtracking alone takes time in the square of the text, or in its exponent.
TEST(SplitPatternTest, StepsAreInTheLengthOfTheText) {
  const auto repeat = [](std::string_view part, size_t count) {
    std::string text;
    while (count-- > 0) text += part;
    return text;
  };
  const Hard kHard[] = {
      {"(?:a|a)*b", repeat("a", 20'000)},
      {"(?:a+a+)+b", repeat("a", 20'000)},
      {"(?:(?:a|b)+c?)+d", repeat("ab", 10'000)},
      {"a*a*a*a*b", repeat("a", 20'000)},
      {"a{0,9}a{0,9}a{0,9}a{0,9}b", repeat("a", 20'000)},
      {"a++b", repeat("a", 20'000)},
      {"[a-z]+[0-9]", repeat("x", 20'000)},
      {R"(\s+(?!\S)|\s+)", repeat(" ", 20'000) + "x"},
      {R"(\s*[\r\n]+|\s+(?!\S)|\s+)", repeat("\t", 20'000) + "x"},
      {R"([0-9]{1,3}(?=(?:[0-9]{3})*\b))", repeat("7", 20'000) + "x"},
      {"(?=.*b)a", repeat("a", 20'000)},
      {R"((?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+!)", repeat("a b", 8'000)},
  };
  for (const Hard& hard : kHard) {
    const auto pattern = SplitPattern::Parse(hard.expression);
    ASSERT_TRUE(pattern.ok()) << pattern.status();

    const int64_t steps = pattern->ForEachMatch(hard.text, [](size_t, size_t) {});

    EXPECT_LT(steps, 200 * static_cast<int64_t>(hard.text.size())) << hard.expression;
  }
}

// Nothing, however often it is repeated, takes no time to compile.
TEST(SplitPatternTest, RepetitionsOfNothingAreNothing) {
  EXPECT_THAT(Matches("(?:){1000}{1000}{1000}{1000}{1000}a", "a"), ElementsAre(Pair(0, 1)));
}

struct Bad {
  const char* expression;
  const char* message;
};

TEST(SplitPatternTest, RefusesWhatIsWrong) {
  const Bad kBad[] = {
      {"(a", "a ( that is not closed"},
      {"a)", "a ) that closes nothing"},
      {"[a", "a [ that is not closed"},
      {"[z-a]", "a range that runs backwards"},
      {"*a", "a repetition of nothing"},
      {"a\\", "a backslash at the end"},
      {"\\p{L", "\\p{ without }"},
      {"\\pL", "\\p without {"},
      {"a{1001}", "a repetition beyond"},
      {"\\x{110000}", "no character"},
      {"[[:alpha]", "[: without :]"},
      {"[a-\\d]", "a range that ends with a class"},
      {"(?<name", "a group's name that has no end"},
  };
  for (const Bad& bad : kBad) {
    const absl::Status status = SplitPattern::Parse(bad.expression).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.expression << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

TEST(SplitPatternTest, NamesWhatItDoesNotKnow) {
  const Bad kUnknown[] = {
      {"(a)\\1", "\\1"},
      {"(?>a)", "an atomic group"},
      {"\\Ga", "\\G"},
      {"\\X", "\\X"},
      {"\\p{Klingon}", "the property \"Klingon\""},
      {"(?<=a+)b", "a look-behind whose length is not fixed"},
      {"(?:a*)*", "a repetition without end of what can match nothing"},
      {"(?:ab)++", "a possessive repetition of more than one character"},
      {"(?x:a)", "this kind of group"},
  };
  for (const Bad& bad : kUnknown) {
    const absl::Status status = SplitPattern::Parse(bad.expression).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << bad.expression << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

TEST(SplitPatternTest, SizesHaveLimits) {
  const auto message = [](const std::string& expression) {
    return std::string(SplitPattern::Parse(expression).status().message());
  };
  EXPECT_THAT(message(std::string(16'385, 'a')), HasSubstr("16385 bytes, beyond the limit"));
  EXPECT_THAT(message(std::string(2'001, 'a')), HasSubstr("more than 2000 steps"));
  EXPECT_THAT(message("(?:(?:(?:ab){99}){99}){99}"), HasSubstr("more than 2000 steps"));
  EXPECT_THAT(message(std::string(200, '(') + std::string(200, ')')), HasSubstr("nested too deep"));
  EXPECT_THAT(message(std::string(200, '[') + std::string(200, ']')), HasSubstr("nested too deep"));
  std::string repeated = "a";
  for (int i = 0; i < 5'000; ++i) repeated += "{1}";
  EXPECT_THAT(message(repeated), HasSubstr("repetitions nested too deep"));
  std::string sets;
  for (int i = 0; i < 201; ++i) sets += "[\\x{" + std::to_string(1000 + 2 * i) + "}-\\x{FFFF}]";
  EXPECT_THAT(message(sets), HasSubstr("more than 200 different sets"));
  EXPECT_THAT(message("\xFF"), HasSubstr("no UTF-8"));
  EXPECT_FALSE(SplitPattern::Literal("").ok());
}

}  // namespace
}  // namespace spillway
