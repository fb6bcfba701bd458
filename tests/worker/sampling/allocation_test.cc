// Choosing a token allocates nothing: this binary counts every operator new.
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/allocation_counter.h"
#include "worker/sampling/logprob_scorer.h"
#include "worker/sampling/sampler.h"

namespace spillway {
namespace {

TEST(SamplerAllocationTest, CounterCounts) {
  const int64_t before = AllocationCount();
  const std::vector<int> memory(100);
  EXPECT_EQ(memory.size(), 100u);
  EXPECT_GT(AllocationCount(), before);
}

TEST(SamplerAllocationTest, EvenTheFirstTokenAllocatesNothing) {
  constexpr int32_t kVocabulary = 5000;
  // All equal: top_p and min_p keep as many as they ever can.
  const std::vector<float> logits(kVocabulary, 1.0f);
  std::vector<TokenId> history;
  for (TokenId token = 0; token < kVocabulary; ++token) history.push_back(token);
  const SamplingParams cases[] = {{.temperature = 0},
                                  {.frequency_penalty = 1, .repetition_penalty = 1.1f},
                                  {.top_p = 0.999f, .min_p = 0.1f},
                                  {.top_p = 0.9f, .top_k = kVocabulary - 1},
                                  {.min_p = 0.5f}};
  for (const SamplingParams& params : cases) {
    Sampler sampler(kVocabulary);
    const int64_t before = AllocationCount();

    for (int64_t position = 0; position < 20; ++position) {
      const bool ok =
          sampler
              .Sample(logits, params, {.tokens = history, .pending = 7, .prompt_tokens = 100},
                      {{1, 2, 3}}, position)
              .ok();
      if (!ok) break;
    }

    EXPECT_EQ(AllocationCount() - before, 0);
  }
}

TEST(LogprobScorerAllocationTest, EvenTheFirstScoreAllocatesNothing) {
  constexpr int32_t kVocabulary = 5000;
  const std::vector<float> logits(kVocabulary, 1.0f);  // all equal: every one is a candidate
  std::vector<TokenLogprob> top(20);
  LogprobScorer scorer(kVocabulary);
  const int64_t before = AllocationCount();

  scorer.Score(logits, 7, top);

  EXPECT_EQ(AllocationCount() - before, 0);
}

}  // namespace
}  // namespace spillway
