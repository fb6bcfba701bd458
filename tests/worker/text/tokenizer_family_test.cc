#include "worker/text/tokenizer_family.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Kind = TokenizerSpec::Kind;

// Every byte is a token, so that all texts round-trip.
TokenizerSpec Bytes(const std::string& family) {
  TokenizerSpec spec{.pre_tokenizer = family};
  const ByteAlphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(alphabet.CharacterOf(static_cast<unsigned char>(byte)));
  }
  spec.types.assign(256, TokenizerSpec::TokenType::kNormal);
  return spec;
}

std::vector<std::string> KnownFamilies() {
  TokenizerSpec spec = Bytes("klingon");
  const std::string message(ApplyTokenizerFamily(spec).message());
  std::istringstream names(message.substr(message.find("known are ") + 10));
  return {std::istream_iterator<std::string>(names), {}};
}

TEST(TokenizerFamilyTest, EveryFamilyCutsTextsAndLosesNothing) {
  const std::string text =
      "Hello  WORLD's 12345 \u4f60\u597d, e\u0301!?\r\n\n\tx_y <a> \uff0c\U0001f600 ";
  const std::vector<std::string> families = KnownFamilies();
  EXPECT_THAT(families, SizeIs(::testing::Gt(80)));
  for (const std::string& family : families) {
    TokenizerSpec spec = Bytes(family);
    const bool is_plain_text = family == "gemma4" ||
                               family.starts_with("granite-embed-multi-311m") ||
                               family == "sarvam-moe";
    if (is_plain_text) continue;  // their tokens are no bytes
    const auto tokenizer = Tokenizer::Create(spec);
    ASSERT_TRUE(tokenizer.ok()) << family << ": " << tokenizer.status();

    std::string decoded;
    for (const TokenId id : (*tokenizer)->Encode(text)) decoded += (*tokenizer)->TokenBytes(id);

    // NFC makes one letter of two.
    const std::string composed =
        "Hello  WORLD's 12345 \u4f60\u597d, \u00e9!?\r\n\n\tx_y <a> \uff0c\U0001f600 ";
    EXPECT_TRUE(decoded == text || decoded == composed) << family << ": " << decoded;
  }
}

TEST(TokenizerFamilyTest, FamiliesSetWhatTheirModelsHave) {
  TokenizerSpec llama = Bytes("llama-bpe");
  ASSERT_TRUE(ApplyTokenizerFamily(llama).ok());
  EXPECT_TRUE(llama.ignore_merges);
  EXPECT_EQ(llama.kind, Kind::kByteLevelBpe);
  EXPECT_THAT(llama.normalizers, SizeIs(0));

  TokenizerSpec qwen = Bytes("qwen2");
  ASSERT_TRUE(ApplyTokenizerFamily(qwen).ok());
  ASSERT_THAT(qwen.normalizers, SizeIs(1));
  EXPECT_EQ(qwen.normalizers[0].kind, NormalizerStep::Kind::kNfc);
  EXPECT_FALSE(qwen.ignore_merges);

  TokenizerSpec falcon = Bytes("falcon");
  ASSERT_TRUE(ApplyTokenizerFamily(falcon).ok());
  EXPECT_EQ(falcon.kind, Kind::kBpe) << "steps follow the one that maps bytes";

  TokenizerSpec gemma = Bytes("gemma4");
  ASSERT_TRUE(ApplyTokenizerFamily(gemma).ok());
  EXPECT_TRUE(gemma.byte_fallback);
}

TEST(TokenizerFamilyTest, UnknownOnesAreNamed) {
  TokenizerSpec spec = Bytes("llama");
  const absl::Status status = ApplyTokenizerFamily(spec);

  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"llama\" is not known; known are gpt-2"));
}

}  // namespace
}  // namespace spillway
