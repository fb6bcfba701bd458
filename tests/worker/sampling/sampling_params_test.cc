#include "worker/sampling/sampling_params.h"

#include <functional>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kVocabulary = 100;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Case {
  const char* field;
  std::function<void(SamplingParams&)> set;
};

TEST(SamplingParamsTest, DefaultsAreValid) {
  EXPECT_TRUE(SamplingParams().Validate(kVocabulary).ok());
}

TEST(SamplingParamsTest, AcceptsTheEndsOfEveryRange) {
  SamplingParams low{.temperature = 0,
                     .top_p = 1e-6f,
                     .min_p = 0,
                     .presence_penalty = -2,
                     .frequency_penalty = -2,
                     .repetition_penalty = 0.01f,
                     .top_logprobs = -1};
  low.logit_bias = {{0, -100.0f}};
  SamplingParams high{.temperature = 100,
                      .top_p = 1,
                      .top_k = 1 << 30,
                      .min_p = 0.99f,
                      .presence_penalty = 2,
                      .frequency_penalty = 2,
                      .repetition_penalty = 100,
                      .top_logprobs = 20};
  high.logit_bias = {{kVocabulary - 1, 100.0f}};

  EXPECT_TRUE(low.Validate(kVocabulary).ok());
  EXPECT_TRUE(high.Validate(kVocabulary).ok());
}

TEST(SamplingParamsTest, RefusesAndNamesTheField) {
  const Case cases[] = {
      {"temperature is -0.1", [](SamplingParams& p) { p.temperature = -0.1f; }},
      {"temperature is 100.5", [](SamplingParams& p) { p.temperature = 100.5f; }},
      {"temperature is nan", [](SamplingParams& p) { p.temperature = kNan; }},
      {"temperature is inf", [](SamplingParams& p) { p.temperature = kInfinity; }},
      {"top_p is 0", [](SamplingParams& p) { p.top_p = 0; }},
      {"top_p is 1.5", [](SamplingParams& p) { p.top_p = 1.5f; }},
      {"top_p is nan", [](SamplingParams& p) { p.top_p = kNan; }},
      {"top_k is -1", [](SamplingParams& p) { p.top_k = -1; }},
      {"min_p is 1", [](SamplingParams& p) { p.min_p = 1; }},
      {"min_p is -0.5", [](SamplingParams& p) { p.min_p = -0.5f; }},
      {"min_p is nan", [](SamplingParams& p) { p.min_p = kNan; }},
      {"presence_penalty is 2.5", [](SamplingParams& p) { p.presence_penalty = 2.5f; }},
      {"presence_penalty is nan", [](SamplingParams& p) { p.presence_penalty = kNan; }},
      {"frequency_penalty is -2.5", [](SamplingParams& p) { p.frequency_penalty = -2.5f; }},
      {"frequency_penalty is nan", [](SamplingParams& p) { p.frequency_penalty = kNan; }},
      {"repetition_penalty is 0", [](SamplingParams& p) { p.repetition_penalty = 0; }},
      {"repetition_penalty is 101", [](SamplingParams& p) { p.repetition_penalty = 101; }},
      {"top_logprobs is -2", [](SamplingParams& p) { p.top_logprobs = -2; }},
      {"top_logprobs is 21", [](SamplingParams& p) { p.top_logprobs = 21; }},
      {"repetition_penalty is nan", [](SamplingParams& p) { p.repetition_penalty = kNan; }},
      {"token 100, beyond 0 to 99", [](SamplingParams& p) { p.logit_bias = {{100, 1.0f}}; }},
      {"token -1, beyond 0 to 99", [](SamplingParams& p) { p.logit_bias = {{-1, 1.0f}}; }},
      {"token 7 is 101", [](SamplingParams& p) { p.logit_bias = {{7, 101.0f}}; }},
      {"token 7 is nan", [](SamplingParams& p) { p.logit_bias = {{7, kNan}}; }},
      {"token 7 twice",
       [](SamplingParams& p) { p.logit_bias = {{7, 1.0f}, {8, 1.0f}, {7, 2.0f}}; }},
  };
  for (const Case& c : cases) {
    SamplingParams params;
    c.set(params);

    const absl::Status status = params.Validate(kVocabulary);

    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
}

TEST(SamplingParamsTest, BoundsTheNumberOfBiases) {
  SamplingParams params;
  for (int i = 0; i < SamplingParams::kLogitBiasMax; ++i) params.logit_bias.push_back({i, 1.0f});
  EXPECT_TRUE(params.Validate(10'000).ok());

  params.logit_bias.push_back({5000, 1.0f});

  EXPECT_THAT(std::string(params.Validate(10'000).message()), HasSubstr("1025 entries"));
}

}  // namespace
}  // namespace spillway
