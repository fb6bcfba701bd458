// worker/kernels/token_scores_cuda.h on a device, against its oracle. Tokens and ranks are exact,
// log-probabilities within 1e-4.

#include "worker/kernels/token_scores_cuda.h"

#include <limits>

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

using TokenScoresCudaTest = CudaTest;

TEST_F(TokenScoresCudaTest, AreTheOracles) {
  constexpr int32_t kVocabulary = 3001;
  constexpr int32_t kStride = 3008;
  constexpr int32_t kRows = 5;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> logits = RandomFloats(kRows * kStride, /*seed=*/1, /*scale=*/3);
  logits[7] = std::nanf("");
  logits[9] = logits[3] = 20;         // equals: the lower id goes first
  logits[kStride + 100] = kInfinity;  // counts as the largest float
  std::fill_n(logits.begin() + 2 * kStride, kStride, -kInfinity);  // no numbers
  std::fill_n(logits.begin() + 3 * kStride, kStride, -kInfinity);
  logits[3 * kStride + 5] = 1;  // fewer numbers than tokens that are asked for
  const std::vector<int32_t> sampled = {-1, 2999};
  const std::vector<TokenToScore> tokens = {{.logits_row = 0, .token = 9, .top_count = 20},
                                            {.logits_row = 0, .token = 7},
                                            {.logits_row = 1, .token = 4, .top_count = 1},
                                            {.logits_row = 2, .token = 0, .top_count = 3},
                                            {.logits_row = 3, .token = 5, .top_count = 4},
                                            {.logits_row = 4, .token = -1, .sampled_row = 1},
                                            {.logits_row = 4, .token = -1, .sampled_row = 0}};
  const auto count = static_cast<int32_t>(tokens.size());
  std::vector<ScoredToken> expected(tokens.size());
  TokenScores scores = {.count = count,
                        .vocabulary = kVocabulary,
                        .logits = logits.data(),
                        .logits_stride = kStride,
                        .tokens = tokens.data(),
                        .sampled = sampled.data(),
                        .scores = expected.data()};
  ScoreTokensReference(scores);
  const DeviceBuffer<float> device_logits = Upload(logits);
  const DeviceBuffer<TokenToScore> device_tokens = Upload(tokens);
  const DeviceBuffer<int32_t> device_sampled = Upload(sampled);
  const DeviceBuffer<ScoredToken> device_scores = Poisoned<ScoredToken>(count);

  scores.logits = device_logits.data();
  scores.tokens = device_tokens.data();
  scores.sampled = device_sampled.data();
  scores.scores = device_scores.data();
  const absl::Status status = ScoreTokensCuda(stream(), scores);

  ASSERT_TRUE(status.ok()) << status;
  const std::vector<ScoredToken> result = Download(device_scores);
  for (size_t i = 0; i < tokens.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(result[i].rank, expected[i].rank);
    if (std::isnan(expected[i].logprob)) {
      EXPECT_TRUE(std::isnan(result[i].logprob));
      continue;
    }
    const auto near = [](float a, float b) { return a == b || std::abs(a - b) < 1e-4f; };
    EXPECT_TRUE(near(result[i].logprob, expected[i].logprob)) << result[i].logprob;
    for (int32_t t = 0; t < tokens[i].top_count; ++t) {
      EXPECT_EQ(result[i].top_tokens[t], expected[i].top_tokens[t]) << t;
      EXPECT_TRUE(near(result[i].top_logprobs[t], expected[i].top_logprobs[t])) << t;
    }
  }
}

}  // namespace
}  // namespace spillway
