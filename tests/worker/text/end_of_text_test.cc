#include "worker/text/end_of_text.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/text/control_marker.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using TokenType = TokenizerSpec::TokenType;

std::vector<TokenId> Ends(std::vector<std::string> tokens, TokenId eos = -1,
                          TokenType type = TokenType::kControl) {
  TokenizerSpec spec{.tokens = std::move(tokens), .eos = eos};
  spec.types.assign(spec.tokens.size(), type);
  AddKnownEndOfText(spec);
  return spec.end_of_text;
}

TEST(EndOfTextTest, KnownMarkersAndEosSortedOnce) {
  EXPECT_THAT(Ends({"<|im_start|>", "</s>", "<|im_end|>", "<|end|>"}, 2), ElementsAre(1, 2, 3));
  EXPECT_THAT(Ends({"a", "b"}, 1), ElementsAre(1));
  EXPECT_THAT(Ends({"<|im_end|>", "<|end|>"}, -1, TokenType::kNormal), IsEmpty());
}

// In gpt-oss's format <|end|> ends a message, and an answer is several of them. It was taken for
// the end, so that answers stopped after the thinking.
TEST(EndOfTextTest, HarmonysEndOfAMessageEndsNoAnswer) {
  EXPECT_THAT(
      Ends({"<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"}, 4),
      ElementsAre(4, 5));
  EXPECT_THAT(Ends({"<|end|>", "<|flush|>", "<|calls|>"}), ElementsAre(1, 2));
  EXPECT_THAT(Ends({"<|end|>", "<|return|>", "<|call|>"}, 0), ElementsAre(0, 1, 2))
      << "the file says so";
  EXPECT_THAT(Ends({"<|end|>", "<|channel|>", "<|message|>"}), IsEmpty());
}

TEST(ControlMarkerTest, LooksLikeTurnMarkers) {
  for (const char* text : {"<|im_start|>", "<\uff5cUser\uff5c>", "<|x|>"}) {
    EXPECT_TRUE(LooksLikeControl(text)) << text;
  }
  for (const char* text : {"<|>", "<||>", "<think>", "<|a", "|a|>", ""}) {
    EXPECT_FALSE(LooksLikeControl(text)) << text;
  }
}

}  // namespace
}  // namespace spillway
