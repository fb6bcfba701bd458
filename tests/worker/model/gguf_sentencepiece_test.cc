// SentencePiece's BPE and unigram vocabularies, as GGUF files have them, against the ids that
// SentencePiece itself gives (testdata/sentencepiece_*.json, written by
// tools/make_sentencepiece_fixtures.py).
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/gguf_builder.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json ReadFixture(const std::string& name) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/model/testdata/sentencepiece_" + name +
                     ".json");
  EXPECT_TRUE(file.good()) << name;
  return json::parse(file);
}

absl::StatusOr<TokenizerSpec> SpecOf(const json& keys) {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", keys["model"].get<std::string>());
  builder.Strings("tokenizer.ggml.tokens", keys["tokens"]);
  builder.Float32s("tokenizer.ggml.scores", keys["scores"]);
  builder.Int32s("tokenizer.ggml.token_type", keys["token_type"]);
  builder.Bool("tokenizer.ggml.add_space_prefix", keys["add_space_prefix"].get<bool>());
  builder.Bool("tokenizer.ggml.remove_extra_whitespaces",
               keys["remove_extra_whitespaces"].get<bool>());
  std::string charsmap;
  EXPECT_TRUE(absl::Base64Unescape(keys["precompiled_charsmap"].get<std::string>(), &charsmap));
  if (!charsmap.empty()) {
    std::vector<int32_t> bytes(charsmap.begin(), charsmap.end());
    for (int32_t& byte : bytes) byte &= 0xFF;
    builder.Int32s("tokenizer.ggml.precompiled_charsmap", bytes);
  }
  builder.Uint32("tokenizer.ggml.bos_token_id", 1).Uint32("tokenizer.ggml.eos_token_id", 2);
  builder.Uint32("tokenizer.ggml.unknown_token_id", 0);
  const std::vector<std::byte> bytes = builder.Build();
  const auto file = GgufFile::Parse(bytes);
  EXPECT_TRUE(file.ok()) << file.status();
  return TokenizerSpecFromGguf(**file);
}

std::unique_ptr<Tokenizer> Make(const json& keys) {
  auto spec = SpecOf(keys);
  EXPECT_TRUE(spec.ok()) << spec.status();
  auto tokenizer = Tokenizer::Create(*std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

class GgufSentencePieceTest : public testing::TestWithParam<const char*> {};

TEST_P(GgufSentencePieceTest, EncodesAsSentencePieceDoes) {
  const json fixture = ReadFixture(GetParam());
  const auto tokenizer = Make(fixture["keys"]);
  for (const json& entry : fixture["cases"]) {
    const std::string text = entry[0];
    EXPECT_EQ(tokenizer->Encode(text), entry[1].get<std::vector<TokenId>>()) << json(text).dump();
  }
  EXPECT_GT(fixture["cases"].size(), 90u);
}

INSTANTIATE_TEST_SUITE_P(All, GgufSentencePieceTest,
                         testing::Values("llama", "gemma", "t5", "t5_bytes"),
                         [](const auto& param) { return std::string(param.param); });

TEST(GgufSentencePieceTest, DecodingGivesTheTextBackWithoutTheSpaceThatWasAdded) {
  for (const char* name : {"llama", "gemma"}) {
    const json fixture = ReadFixture(name);
    const auto tokenizer = Make(fixture["keys"]);
    for (const json& entry : fixture["cases"]) {
      // U+2581 is a space's stand-in, so it comes back as one.
      const std::string text = entry[0];
      if (text.find("\u2581") != std::string::npos) continue;
      EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text), /*skip_control=*/false), text) << name;
    }
  }
}

TEST(GgufSentencePieceTest, ControlTokensComeOfTrustedTextOnly) {
  for (const char* name : {"llama", "t5"}) {
    const auto tokenizer = Make(ReadFixture(name)["keys"]);
    const std::string text = "<|im_start|></s>";
    const TextRange whole{0, text.size()};
    for (const TokenId token : tokenizer->Encode(text)) EXPECT_FALSE(tokenizer->IsControl(token));
    EXPECT_EQ(tokenizer->Encode(text, {&whole, 1}).size(), 2u) << name;
  }
}

TEST(GgufSentencePieceTest, ScoresAreAsManyAsTokensAndNumbers) {
  json keys = ReadFixture("llama")["keys"];
  keys["scores"].erase(keys["scores"].size() - 1);
  EXPECT_THAT(std::string(SpecOf(keys).status().message()),
              HasSubstr("tokenizer.ggml.scores has " + std::to_string(keys["scores"].size())));

  keys["scores"].push_back(std::numeric_limits<float>::infinity());
  EXPECT_EQ(SpecOf(keys).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(GgufSentencePieceTest, ACharsmapThatLiesIsRefused) {
  json keys = ReadFixture("t5")["keys"];
  keys["precompiled_charsmap"] = "/////w==";  // A trie of 4 GB.

  const auto spec = SpecOf(keys);

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(std::string(Tokenizer::Create(*spec).status().message()), HasSubstr("charsmap"));
}

}  // namespace
}  // namespace spillway
