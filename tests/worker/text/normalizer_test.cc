#include "worker/text/normalizer.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/json_fields.h"
#include "worker/text/tokenizer_json_steps.h"

namespace spillway {
namespace {

using nlohmann::json;
using Kind = NormalizerStep::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Normalizer Make(std::vector<NormalizerStep> steps) {
  auto normalizer = Normalizer::Create(steps);
  EXPECT_TRUE(normalizer.ok()) << normalizer.status();
  return *std::move(normalizer);
}

std::string Normalized(const Normalizer& normalizer, const std::string& text) {
  return normalizer.Normalize({text}).text;
}

// The fixture is made by tools/make_tokenizer_step_fixtures.py.
TEST(NormalizerTest, NormalizesAsHuggingFaceTokenizersDoes) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/normalizer_cases.json");
  int compared = 0;
  for (const json& row : json::parse(file)) {
    const std::string step = json{{"normalizer", row["step"]}}.dump();
    SCOPED_TRACE(step.substr(0, 200));
    const auto document = JsonDocument::Parse(step, "fixture");
    ASSERT_TRUE(document.ok()) << document.status();
    const auto steps = NormalizersFromJson(document->root());
    ASSERT_TRUE(steps.ok()) << steps.status();
    const Normalizer normalizer = Make(*steps);
    for (const json& entry : row["cases"]) {
      const std::string text = entry[0];
      const std::string expected = entry[1].is_null() ? text : entry[1].get<std::string>();
      EXPECT_EQ(Normalized(normalizer, text), expected) << json(text).dump();
      ++compared;
    }
  }
  EXPECT_GT(compared, 900);
}

TEST(NormalizerTest, BadBytesStay) {
  const Normalizer normalizer =
      Make({{.kind = Kind::kNfkc},
            {.kind = Kind::kLowercase},
            {.kind = Kind::kReplace, .text = "_", .pattern = {"[^a]", true}}});

  EXPECT_EQ(Normalized(normalizer,
                       "A\xFF\xC3"
                       "B\xE4\xB8"),
            "a\xFF\xC3_\xE4\xB8");
}

TEST(NormalizerTest, NewTextHasTheLabelThatAllTheOldHad) {
  const Normalizer normalizer =
      Make({{.kind = Kind::kReplace, .text = "<s>", .pattern = {.text = "ab"}}});

  EXPECT_THAT(normalizer.Normalize({"xab", {0, 1, 1}}).labels, ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(normalizer.Normalize({"xab", {0, 1, 2}}).labels, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(normalizer.Normalize({"xab", {0, 0, 0}}).labels, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(normalizer.Normalize({"xab"}).labels, IsEmpty());
}

TEST(NormalizerTest, EveryStepKeepsOneLabelForEachByte) {
  const std::string text = " A\u0301\u4e2d \uff1cs\uff1e\ufb01\t\u200b\xFF e\u0301  ";
  for (int kind = 0; kind <= static_cast<int>(Kind::kByteLevel); ++kind) {
    NormalizerStep step{.kind = static_cast<Kind>(kind), .left = true, .right = true, .text = "ab"};
    step.pattern = {"\\s", true};
    if (step.kind == Kind::kPrecompiled) continue;  // "ab" is no charsmap
    if (step.kind == Kind::kSentencePiece) step.text.clear();
    const Normalizer normalizer = Make({step});
    const LabeledText labeled{text, std::vector<uint32_t>(text.size(), 7)};

    const LabeledText normal = normalizer.Normalize(labeled);

    EXPECT_EQ(normal.text, Normalized(normalizer, text)) << kind;
    EXPECT_EQ(normal.labels, std::vector<uint32_t>(normal.text.size(), 7)) << kind;
  }
}

TEST(NormalizerTest, SentencePiecesSpacesAreAddedRemovedAndMarked) {
  NormalizerStep step{.kind = Kind::kSentencePiece};
  EXPECT_EQ(Normalized(Make({step}), "  a   b "), "\u2581a\u2581b");

  step.space_is_suffix = true;
  EXPECT_EQ(Normalized(Make({step}), "a b"), "a\u2581b\u2581");

  step = {.kind = Kind::kSentencePiece, .add_space_prefix = false, .remove_extra_spaces = false};
  EXPECT_EQ(Normalized(Make({step}), " a  b"), "\u2581a\u2581\u2581b");
  EXPECT_EQ(Normalized(Make({step}), ""), "");
}

TEST(NormalizerTest, RefusesAPatternThatCannotBeUsed) {
  const NormalizerStep step{.kind = Kind::kReplace, .pattern = {"(a", true}};
  EXPECT_EQ(Normalizer::Create(std::span(&step, 1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace spillway
