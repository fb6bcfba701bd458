// How long one token takes to choose, by vocabulary: greedy, and ways of sampling.
//
//   build/release/bin/bench_sampler [--benchmark_filter=…]
//
// Greedy reads the logits once and nothing more: bytes_per_second against the machine's L2 or L3
// bandwidth says how good it is. Sampling adds an exponential per token (about 20 SSE operations
// for 4 of them). "peaked" logits are a model's: a few likely tokens over a normal noise; "flat"
// ones are the worst case of top_p, which then keeps most of the vocabulary.
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "worker/sampling/logprob_scorer.h"
#include "worker/sampling/sampler.h"

namespace spillway {
namespace {

std::vector<float> Logits(int32_t vocabulary, bool peaked) {
  std::mt19937 random(1);
  std::normal_distribution<float> noise(0, peaked ? 3.0f : 0.3f);
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  for (float& logit : logits) logit = noise(random);
  if (peaked) {
    for (size_t i = 0; i < 40; ++i) {
      logits[random() % logits.size()] = 18 - static_cast<float>(i) / 4;
    }
  }
  return logits;
}

void BM_Sample(benchmark::State& state, const SamplingParams& params, bool peaked) {
  const auto vocabulary = static_cast<int32_t>(state.range(0));
  const std::vector<float> logits = Logits(vocabulary, peaked);
  const std::vector<TokenId> history(static_cast<size_t>(state.range(1)), 7);
  Sampler sampler(vocabulary);
  int64_t position = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(sampler.Sample(logits, params, {.tokens = history}, {}, position++));
  }
  state.SetBytesProcessed(state.iterations() * vocabulary * static_cast<int64_t>(sizeof(float)));
}

// What log-probabilities add to a token.
void BM_Score(benchmark::State& state) {
  const auto vocabulary = static_cast<int32_t>(state.range(0));
  const std::vector<float> logits = Logits(vocabulary, /*peaked=*/true);
  std::vector<TokenLogprob> top(static_cast<size_t>(state.range(1)));
  LogprobScorer scorer(vocabulary);
  for (auto _ : state) benchmark::DoNotOptimize(scorer.Score(logits, 7, top));
  state.SetBytesProcessed(state.iterations() * vocabulary * static_cast<int64_t>(sizeof(float)));
}

void Add(const char* name, const SamplingParams& params, bool peaked = true,
         int64_t history_tokens = 0) {
  for (const int64_t vocabulary : {49'152, 151'936}) {
    benchmark::RegisterBenchmark(name, BM_Sample, params, peaked)
        ->Args({vocabulary, history_tokens})
        ->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  using spillway::Add;
  Add("greedy", {.temperature = 0});
  Add("temperature", {.temperature = 0.8f});
  Add("top_p", {.temperature = 0.8f, .top_p = 0.95f});
  Add("top_p_flat", {.temperature = 0.8f, .top_p = 0.95f}, /*peaked=*/false);
  Add("top_k_top_p", {.temperature = 0.7f, .top_p = 0.8f, .top_k = 20});
  Add("min_p", {.temperature = 0.8f, .min_p = 0.05f});
  Add("penalties_4k", {.temperature = 0, .frequency_penalty = 0.5f}, true, 4096);
  for (const int64_t vocabulary : {49'152, 151'936}) {
    benchmark::RegisterBenchmark("logprobs", spillway::BM_Score)
        ->Args({vocabulary, 20})
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
