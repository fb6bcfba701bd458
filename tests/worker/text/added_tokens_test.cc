#include "worker/text/added_tokens.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Parts(const AddedTokens& added, const std::string& text,
                               const std::vector<uint32_t>& labels = {}) {
  std::vector<std::string> parts;
  for (const AddedTokens::Part& part : added.Split(text, labels)) {
    const std::string name = part.token < 0 ? "" : std::to_string(part.token);
    parts.push_back(name + ":" + text.substr(part.begin, part.end - part.begin));
  }
  return parts;
}

AddedTokens One(const std::string_view text, AddedToken flags, bool needs_trust = false) {
  flags.id = 7;
  return AddedTokens({{text, flags, needs_trust}});
}

TEST(AddedTokensTest, TheLongestAtEachPlaceFromLeftToRight) {
  const AddedTokens added({{"ab", {.id = 1}}, {"abc", {.id = 2}}, {"bcd", {.id = 3}}});

  EXPECT_THAT(Parts(added, "xabcd"), ElementsAre(":x", "2:abc", ":d"));
  EXPECT_THAT(Parts(added, "abbcd"), ElementsAre("1:ab", "3:bcd"));
  EXPECT_THAT(Parts(added, ""), IsEmpty());
}

TEST(AddedTokensTest, OfEqualTextsTheLastCounts) {
  const AddedTokens added({{"ab", {.id = 1}}, {"ab", {.id = 2}}});

  EXPECT_THAT(Parts(added, "ab"), ElementsAre("2:ab"));
}

TEST(AddedTokensTest, WhatNeedsTrustIsFoundUnderOneLabelOnly) {
  const AddedTokens added({{"<s>", {.id = 1}, true}, {"<s", {.id = 2}}});

  EXPECT_THAT(Parts(added, "<s>"), ElementsAre("2:<s", ":>"));
  EXPECT_THAT(Parts(added, "<s>", {5, 5, 5}), ElementsAre("1:<s>"));
  EXPECT_THAT(Parts(added, "<s>", {5, 5, 6}), ElementsAre("2:<s", ":>"));
  EXPECT_THAT(Parts(added, "<s>", {0, 0, 0}), ElementsAre("2:<s", ":>"));
}

TEST(AddedTokensTest, ASingleWordStandsAlone) {
  const AddedTokens added = One("ab", {.single_word = true});

  EXPECT_THAT(Parts(added, "ab,ab"), ElementsAre("7:ab", ":,", "7:ab"));
  EXPECT_THAT(Parts(added, "xab ab\u00e9 ab_"), ElementsAre(":xab ab\u00e9 ab_"));
}

TEST(AddedTokensTest, StrippingTakesTheWhiteSpaceBeside) {
  EXPECT_THAT(Parts(One("<m>", {.lstrip = true}), "a \u3000<m> b"),
              ElementsAre(":a", "7: \u3000<m>", ": b"));
  EXPECT_THAT(Parts(One("<m>", {.rstrip = true}), "a <m> \n<m>b"),
              ElementsAre(":a ", "7:<m> \n", "7:<m>", ":b"));
  EXPECT_THAT(Parts(One("<m>", {.lstrip = true, .rstrip = true}), "<m>  <m>"),
              ElementsAre("7:<m>  ", "7:<m>"));
}

TEST(AddedTokensTest, BadBytesAreNoSpaceAndNoWord) {
  const AddedTokens added = One("<m>", {.single_word = true, .lstrip = true});

  EXPECT_THAT(Parts(added, " \xFF<m>\xC3"), ElementsAre(": \xFF", "7:<m>", ":\xC3"));
}

}  // namespace
}  // namespace spillway
