// The sampler against a trivial one that sorts the whole vocabulary, and its distribution.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "worker/sampling/draw.h"
#include "worker/sampling/logit_weights.h"
#include "worker/sampling/sampler.h"

namespace spillway {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Case {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<TokenId> history;
  TokenId pending = -1;
  int32_t prompt_tokens = 0;
  std::vector<TokenId> banned;
  int64_t position = 0;
};

// Every rule of sampler.h in its simplest words. Weights come from Weights(), which has its own
// test. -1 when nothing can be chosen.
TokenId TrivialSample(const Case& c) {
  const SamplingParams& params = c.params;
  std::vector<float> logits = c.logits;
  for (const auto& [token, bias] : params.logit_bias) logits[static_cast<size_t>(token)] += bias;
  std::vector<TokenId> sequence = c.history;
  if (c.pending >= 0) sequence.push_back(c.pending);
  for (size_t token = 0; token < logits.size(); ++token) {
    const auto id = static_cast<TokenId>(token);
    const auto output = sequence.begin() + c.prompt_tokens;
    const auto count = static_cast<float>(std::count(output, sequence.end(), id));
    if (std::count(sequence.begin(), sequence.end(), id) > 0) {
      float& logit = logits[token];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    if (count > 0) logits[token] -= params.presence_penalty + params.frequency_penalty * count;
  }
  for (const TokenId token : c.banned) logits[static_cast<size_t>(token)] = -kInfinity;

  std::vector<Candidate> sorted;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -kInfinity) sorted.push_back({static_cast<TokenId>(i), logits[i]});
  }
  if (sorted.empty()) return -1;
  std::sort(sorted.begin(), sorted.end(), Likelier);
  if (params.temperature == 0) return sorted[0].token;
  const float max = sorted[0].value;
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < sorted.size()) {
    sorted.resize(static_cast<size_t>(params.top_k));
  }
  double total = 0;
  for (Candidate& candidate : sorted) {
    Weights({&candidate.value, 1}, max, params.temperature, {&candidate.value, 1});
    total += candidate.value;
  }
  std::sort(sorted.begin(), sorted.end(), Likelier);
  std::vector<Candidate> kept;
  double mass = 0;
  for (const Candidate& candidate : sorted) {
    if (params.top_p < 1 && mass >= static_cast<double>(params.top_p) * total) break;
    mass += candidate.value;
    if (candidate.value >= params.min_p) kept.push_back(candidate);
  }
  std::sort(kept.begin(), kept.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  double kept_total = 0;
  for (const Candidate& candidate : kept) kept_total += candidate.value;
  const double target = UniformDraw(params.seed, c.position) * kept_total;
  double before = 0;
  for (const Candidate& candidate : kept) {
    before += candidate.value;
    if (before > target) return candidate.token;
  }
  return -1;
}

class Cases {
 public:
  explicit Cases(uint64_t seed) : random_(seed) {}

  Case Next(size_t vocabulary) {
    Case c;
    c.logits = Logits(vocabulary);
    c.params.temperature = Coin(0.1) ? 0 : Uniform(0.05f, 3);
    if (Coin(0.5)) c.params.top_k = Int(1, static_cast<int>(vocabulary) + 3);
    if (Coin(0.5)) c.params.top_p = Uniform(0.001f, 1);
    if (Coin(0.3)) c.params.min_p = Uniform(0, 0.5f);
    if (Coin(0.3)) c.params.repetition_penalty = Uniform(0.5f, 2);
    if (Coin(0.3)) c.params.presence_penalty = Uniform(-2, 2);
    if (Coin(0.3)) c.params.frequency_penalty = Uniform(-2, 2);
    c.params.seed = random_();
    const int last = static_cast<int>(vocabulary) - 1;
    for (int i = Int(0, 20); i > 0; --i) c.history.push_back(Int(0, last));
    c.prompt_tokens = Int(0, static_cast<int>(c.history.size()));
    if (Coin(0.5)) c.pending = Int(0, last);
    for (int i = Int(0, 2); i > 0; --i) c.banned.push_back(Int(0, last));
    if (Coin(0.3)) c.params.logit_bias = {{Int(0, last), Uniform(-5, 5)}};
    c.position = Int(0, 10'000);
    return c;
  }

 private:
  bool Coin(double share) { return std::bernoulli_distribution(share)(random_); }
  int Int(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  float Uniform(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(random_);
  }

  std::vector<float> Logits(size_t vocabulary) {
    std::vector<float> logits(vocabulary);
    const int kind = Int(0, 3);
    const float spread = Uniform(0.01f, 8);
    for (float& logit : logits) {
      logit = std::normal_distribution<float>(0, spread)(random_);
      if (kind == 1) logit = std::round(logit);  // many equals
      if (kind == 2) logit = 1.5f;               // all equal
      if (kind == 3 && Coin(0.1)) {
        logit = Coin(0.5) ? std::numeric_limits<float>::quiet_NaN() : -kInfinity;
      }
    }
    return logits;
  }

  std::mt19937_64 random_;
};

TEST(SamplerSimulationTest, AgreesWithTheTrivialSampler) {
  for (const size_t vocabulary : {1u, 2u, 5u, 64u, 65u, 200u, 1000u}) {
    Sampler sampler(static_cast<int32_t>(vocabulary));
    Cases cases(vocabulary);
    for (int round = 0; round < 700; ++round) {
      const Case c = cases.Next(vocabulary);

      const absl::StatusOr<TokenId> choice = sampler.Sample(
          c.logits, c.params,
          {.tokens = c.history, .pending = c.pending, .prompt_tokens = c.prompt_tokens}, c.banned,
          c.position);

      const TokenId expected = TrivialSample(c);
      ASSERT_EQ(choice.ok() ? *choice : -1, expected)
          << "vocabulary " << vocabulary << ", round " << round;
    }
  }
}

// The chi-square statistic of `draws` draws against the exact softmax, its rarest cells merged.
double ChiSquare(const std::vector<float>& logits, const SamplingParams& params,
                 const std::vector<double>& expected, int draws, int* cells) {
  Sampler sampler(static_cast<int32_t>(logits.size()));
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    ++counts[static_cast<size_t>(*sampler.Sample(logits, params, {}, {}, i))];
  }
  double chi_square = 0;
  double rest_expected = 0;
  double rest_count = 0;
  *cells = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double mean = expected[i] * draws;
    if (mean < 10) {
      rest_expected += mean;
      rest_count += counts[i];
      continue;
    }
    chi_square += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++*cells;
  }
  if (rest_expected > 0) {
    chi_square += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
    ++*cells;
  } else {
    EXPECT_EQ(rest_count, 0) << "drew tokens that are out";
  }
  return chi_square;
}

// 1 in 10,000 exceeds this (Wilson-Hilferty).
double ChiSquareLimit(int degrees) {
  const double d = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1 - d + 3.719 * std::sqrt(d), 3);
}

TEST(SamplerSimulationTest, DrawsFollowTheSoftmax) {
  std::mt19937 random(1);
  std::normal_distribution<float> logit(0, 2);
  std::vector<float> logits(300);
  for (float& value : logits) value = logit(random);
  struct Kept {
    SamplingParams params;
    size_t top;  // how many of the likeliest can be drawn
  };
  for (const Kept& kept :
       {Kept{{.temperature = 1, .seed = 1}, 300}, Kept{{.temperature = 0.7f, .seed = 2}, 300},
        Kept{{.temperature = 1.5f, .top_k = 40, .seed = 3}, 40},
        Kept{{.temperature = 1, .top_p = 0.999999f, .seed = 4}, 300}}) {
    std::vector<size_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    std::vector<double> expected(logits.size());
    double total = 0;
    for (size_t i = 0; i < kept.top; ++i) {
      expected[order[i]] =
          std::exp(static_cast<double>(logits[order[i]]) / kept.params.temperature);
      total += expected[order[i]];
    }
    for (double& probability : expected) probability /= total;
    int cells = 0;

    const double chi_square = ChiSquare(logits, kept.params, expected, 100'000, &cells);

    EXPECT_LT(chi_square, ChiSquareLimit(cells - 1))
        << cells << " cells, seed " << kept.params.seed;
    EXPECT_GT(cells, 30);
  }
}

}  // namespace
}  // namespace spillway
