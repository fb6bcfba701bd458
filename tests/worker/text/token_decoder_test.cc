#include "worker/text/token_decoder.h"

#include <fstream>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/json_fields.h"
#include "worker/text/tokenizer_json_steps.h"

namespace spillway {
namespace {

using nlohmann::json;
using Kind = DecoderStep::Kind;

TokenDecoder Make(std::vector<DecoderStep> steps) {
  auto decoder = TokenDecoder::Create(std::move(steps));
  EXPECT_TRUE(decoder.ok()) << decoder.status();
  return *std::move(decoder);
}

// The fixture is made by tools/make_tokenizer_step_fixtures.py.
TEST(TokenDecoderTest, DecodesAsHuggingFaceTokenizersDoes) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/decoder_cases.json");
  int compared = 0;
  for (const json& row : json::parse(file)) {
    const std::string step = json{{"decoder", row["step"]}}.dump();
    SCOPED_TRACE(step);
    const auto document = JsonDocument::Parse(step, "fixture");
    ASSERT_TRUE(document.ok()) << document.status();
    auto steps = DecodersFromJson(document->root());
    ASSERT_TRUE(steps.ok()) << steps.status();
    if (steps->empty()) steps->push_back({.kind = Kind::kSpaces});
    const TokenDecoder decoder = Make(*std::move(steps));
    for (const json& entry : row["cases"]) {
      EXPECT_EQ(decoder.Decode(entry[0]), entry[1].get<std::string>()) << entry[0].dump();
      ++compared;
    }
  }
  EXPECT_GT(compared, 500);
}

// What a token adds when it isn't the first: what a stream shows.
TEST(TokenDecoderTest, ATokensBytesAreThoseItAddsToAText) {
  const auto bytes = [](std::vector<DecoderStep> steps, std::string_view text) {
    return Make(std::move(steps)).BytesOf(text);
  };

  EXPECT_EQ(bytes({{.kind = Kind::kByteLevel}}, "\u0120\u00c3"), " \xC3");
  EXPECT_EQ(bytes({{.kind = Kind::kByteLevel}}, "\u4e2d"), "\u4e2d") << "not in the alphabet";
  EXPECT_EQ(bytes({{.kind = Kind::kWordPiece, .text = "##"}}, "##ing"), "ing");
  EXPECT_EQ(bytes({{.kind = Kind::kWordPiece, .text = "##"}}, "go"), " go");
  EXPECT_EQ(bytes({{.kind = Kind::kMetaspace, .text = "_"}}, "_go"), " go");
  const std::vector<DecoderStep> llama = {
      {.kind = Kind::kReplace, .text = " ", .pattern = {.text = "\u2581"}},
      {.kind = Kind::kByteFallback},
      {.kind = Kind::kFuse},
      {.kind = Kind::kStrip, .text = " ", .start = 1}};
  EXPECT_EQ(bytes(llama, "\u2581go"), " go") << "the first word's space alone is stripped";
  EXPECT_EQ(bytes(llama, "<0xE4>"), "\xE4");
}

}  // namespace
}  // namespace spillway
