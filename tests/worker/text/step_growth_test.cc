#include "worker/text/step_growth.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using Kind = NormalizerStep::Kind;
using namespace std::string_literals;

absl::Status Check(std::vector<NormalizerStep> normalizers,
                   std::vector<DecoderStep> decoders = {}) {
  TokenizerSpec spec;
  spec.normalizers = std::move(normalizers);
  spec.decoders = std::move(decoders);
  return CheckGrowth(spec);
}

NormalizerStep Replace(std::string what, std::string with, bool is_regex = false) {
  return {.kind = Kind::kReplace, .text = std::move(with), .pattern = {std::move(what), is_regex}};
}

TEST(StepGrowthTest, RealNormalizersStayBelow) {
  EXPECT_TRUE(Check({{.kind = Kind::kPrepend, .text = "\u2581"}, Replace(" ", "\u2581")}).ok());
  EXPECT_TRUE(Check({{.kind = Kind::kBert}}).ok());
  EXPECT_TRUE(Check({Replace("``", "\""),
                     {.kind = Kind::kNfkd},
                     {.kind = Kind::kStripAccents},
                     {.kind = Kind::kLowercase},
                     Replace(" {2,}", "\u2581", true)})
                  .ok());
}

TEST(StepGrowthTest, DoublingAgainAndAgainIsRefused) {
  EXPECT_TRUE(Check(std::vector<NormalizerStep>(10, Replace("a", "aa"))).ok());
  EXPECT_THAT(std::string(Check(std::vector<NormalizerStep>(11, Replace("a", "aa"))).message()),
              HasSubstr("the normalizers could make a text 2048 times as long; the limit is 1024"));
  const DecoderStep doubling{
      .kind = DecoderStep::Kind::kReplace, .text = "aa", .pattern = {.text = "a"}};
  EXPECT_THAT(std::string(Check({}, std::vector<DecoderStep>(64, doubling)).message()),
              HasSubstr("the decoders could make"));
}

TEST(StepGrowthTest, AReplacementIsMeasuredByWhatItReplaces) {
  EXPECT_TRUE(Check({Replace(std::string(4, 'a'), std::string(4096, 'b'))}).ok());
  EXPECT_FALSE(Check({Replace(std::string(3, 'a'), std::string(4096, 'b'))}).ok());
  EXPECT_TRUE(Check({Replace("aaaa", std::string(1023, 'b'), true)}).ok());
  EXPECT_FALSE(Check({Replace("aaaa", std::string(1024, 'b'), true)}).ok());
}

TEST(StepGrowthTest, CharsmapsAreMeasuredByTheirLongestReplacement) {
  const auto with = [](size_t size) {
    return Check(
        {{.kind = Kind::kPrecompiled, .text = "\4\0\0\0abcdx\0"s + std::string(size, 'y')}});
  };
  EXPECT_TRUE(with(1024).ok());
  EXPECT_FALSE(with(1025).ok());
  EXPECT_TRUE(Check({{.kind = Kind::kPrecompiled, .text = "ab"}}).ok()) << "refused elsewhere";
}

TEST(StepGrowthTest, ATokenizerIsRefused) {
  TokenizerSpec spec{.kind = TokenizerSpec::Kind::kBpe, .tokens = {"a"}};
  spec.types = {TokenizerSpec::TokenType::kNormal};
  spec.normalizers.assign(64, Replace("a", "aa"));

  EXPECT_EQ(Tokenizer::Create(spec).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace spillway
