#include "worker/text/pattern_matcher.h"

#include <random>
#include <string>

#include "gtest/gtest.h"
#include "worker/text/pattern_tree.h"

namespace spillway {
namespace {

PatternProgram Compile(std::string_view expression) {
  const auto tree = ParsePattern(expression);
  EXPECT_TRUE(tree.ok()) << tree.status();
  auto program = CompilePattern(*tree);
  EXPECT_TRUE(program.ok()) << program.status();
  return *std::move(program);
}

TEST(PatternMatcherTest, MatchesExactlyWhereItIsAsked) {
  const PatternProgram program = Compile("b+");
  PatternMatcher matcher(program, "abbc");

  EXPECT_EQ(matcher.MatchAt(0), std::nullopt);
  EXPECT_EQ(matcher.MatchAt(1), 3u);
  EXPECT_EQ(matcher.MatchAt(2), 3u);
  EXPECT_EQ(matcher.MatchAt(4), std::nullopt);
}

// With memory and without the same comes of it: a search whose patience is at its end at once
// against short ones.
TEST(PatternMatcherTest, RememberingChangesNoMatch) {
  const std::string kAtoms[] = {"a",     "b",     "[ab]",   "(?:a|ab)", "(?:b|a+)",
                                "(?=a)", "(?!b)", "(?<=a)", "\\b",      "."};
  const std::string kQuantifiers[] = {"", "", "*", "+", "?", "*?", "+?", "{2,3}", "{1,2}?"};
  constexpr char kLetters[] = {'a', 'a', 'a', 'b', 'b', 'c', ' '};
  int compared = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](const auto& choices) { return choices[random() % std::size(choices)]; };
    std::string expression;
    for (size_t i = 0; i < 5; ++i)
      expression += pick(kAtoms) + pick(kQuantifiers) + (random() % 5 ? "" : "|");
    const auto tree = ParsePattern(expression);
    if (!tree.ok()) continue;  // A look-around that is repeated without end.
    const PatternProgram program = *CompilePattern(*tree);
    std::string text;
    while (text.size() < 12) text += pick(kLetters);
    PatternMatcher forgetful(program, text);
    PatternMatcher tired(program, text);
    // Many searches of one matcher use its patience up.
    for (int round = 0; round < 3'000 && tired.step_count() < 40'000; ++round) tired.MatchAt(0);
    for (size_t at = 0; at <= text.size(); ++at) {
      ASSERT_EQ(tired.MatchAt(at), forgetful.MatchAt(at))
          << seed << ": " << expression << " at " << at << " of " << text;
      ++compared;
    }
  }
  EXPECT_GT(compared, 1'500);
}

TEST(PatternMatcherTest, WithoutRoomForMemoryItGivesUp) {
  const PatternProgram program = Compile("(?:a|a)*b|c");
  const std::string text = std::string(3'000, 'a') + "c";

  PatternMatcher small(program, text, /*memo_max=*/1'000);
  EXPECT_EQ(small.MatchAt(0), std::nullopt);
  EXPECT_EQ(small.MatchAt(3'000), std::nullopt) << "for good";

  PatternMatcher large(program, text);
  EXPECT_EQ(large.MatchAt(0), std::nullopt);
  EXPECT_EQ(large.MatchAt(3'000), 3'001u);
}

}  // namespace
}  // namespace spillway
