#include "worker/text/pre_tokenizer.h"

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/json_fields.h"
#include "worker/text/tokenizer_json_steps.h"

namespace spillway {
namespace {

using nlohmann::json;
using Kind = PreTokenizerStep::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

PreTokenizer Make(std::vector<PreTokenizerStep> steps, bool maps_bytes = true) {
  auto pre_tokenizer = PreTokenizer::Create(steps, maps_bytes);
  EXPECT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.status();
  return *std::move(pre_tokenizer);
}

std::vector<std::string> Pieces(const PreTokenizer& pre_tokenizer, std::string_view text,
                                bool at_beginning = true) {
  const TextPieces pieces = pre_tokenizer.Split(text, at_beginning);
  return {pieces.pieces.begin(), pieces.pieces.end()};
}

// The fixture is made by tools/make_tokenizer_step_fixtures.py.
TEST(PreTokenizerTest, CutsAsHuggingFaceTokenizersDoes) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/pre_tokenizer_cases.json");
  int compared = 0;
  for (const json& row : json::parse(file)) {
    const std::string step = json{{"pre_tokenizer", row["step"]}}.dump();
    SCOPED_TRACE(step);
    const auto document = JsonDocument::Parse(step, "fixture");
    ASSERT_TRUE(document.ok()) << document.status();
    const auto steps = PreTokenizersFromJson(document->root());
    ASSERT_TRUE(steps.ok()) << steps.status();
    const PreTokenizer pre_tokenizer = Make(*steps);
    for (const json& entry : row["cases"]) {
      const std::string text = entry[0];
      EXPECT_EQ(Pieces(pre_tokenizer, text), entry[1].get<std::vector<std::string>>())
          << json(text).dump();
      ++compared;
    }
  }
  EXPECT_GT(compared, 800);
}

TEST(PreTokenizerTest, NoStepsAreOnePiece) {
  const PreTokenizer pre_tokenizer = Make({});

  EXPECT_THAT(Pieces(pre_tokenizer, "a b"), ElementsAre("a b"));
  EXPECT_THAT(Pieces(pre_tokenizer, ""), IsEmpty());
}

TEST(PreTokenizerTest, BadBytesAreOnePieceAndWhatIsBetweenThemIsCutAlone) {
  const PreTokenizer pre_tokenizer = Make({{.kind = Kind::kWhitespaceSplit}}, /*maps_bytes=*/false);

  EXPECT_THAT(Pieces(pre_tokenizer,
                     "a b\xFF\xFE"
                     "c d\xC3"),
              ElementsAre("a", "b", "\xFF\xFE", "c", "d", "\xC3"));
}

TEST(PreTokenizerTest, BytesAreMappedOnlyIfTheModelWantsIt) {
  const std::vector<PreTokenizerStep> steps = {{.kind = Kind::kByteLevel}};

  EXPECT_THAT(Pieces(Make(steps, true), "a \u00e9\xFF"),
              ElementsAre("a", "\u0120\u00c3\u00a9", "\u00ff"));
  EXPECT_THAT(Pieces(Make(steps, false), "a \u00e9\xFF"), ElementsAre("a", " \u00e9", "\xFF"));
}

TEST(PreTokenizerTest, OnlyTheTextsBeginningGetsTheFirstSpace) {
  PreTokenizerStep step{.kind = Kind::kMetaspace, .replacement = "_"};
  step.prepend = PreTokenizerStep::Prepend::kFirst;

  EXPECT_THAT(Pieces(Make({step}), "a b", true), ElementsAre("_a", "_b"));
  EXPECT_THAT(Pieces(Make({step}), "a b", false), ElementsAre("a", "_b"));
}

TEST(PreTokenizerTest, RefusesAPatternThatCannotBeUsed) {
  const PreTokenizerStep step{.pattern = {"(?>a)", true}};
  EXPECT_EQ(PreTokenizer::Create(std::span(&step, 1), true).status().code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace spillway
