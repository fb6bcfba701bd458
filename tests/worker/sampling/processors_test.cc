// Penalties and filters against transformers' logits processors (tools/make_sampling_fixture.py).

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "gtest/gtest.h"
#include "worker/sampling/penalties.h"
#include "worker/sampling/sampler.h"

namespace spillway {
namespace {

using nlohmann::json;

json Cases() {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/sampling/testdata/processors.json");
  return json::parse(file).at("cases");
}

SamplingParams ParamsOf(const json& c) {
  SamplingParams params;
  params.temperature = c.value("temperature", 1.0f);
  params.top_p = c.value("top_p", 1.0f);
  params.top_k = c.value("top_k", 0);
  params.min_p = c.value("min_p", 0.0f);
  params.presence_penalty = c.value("presence_penalty", 0.0f);
  params.frequency_penalty = c.value("frequency_penalty", 0.0f);
  params.repetition_penalty = c.value("repetition_penalty", 1.0f);
  const json logit_bias = c.value("logit_bias", json::object());
  for (const auto& [token, bias] : logit_bias.items()) {
    params.logit_bias.emplace_back(std::stoi(token), bias.get<float>());
  }
  return params;
}

TEST(ProcessorsTest, PenaltiesAreTransformersAndOpenAis) {
  for (const json& c : Cases()) {
    const auto tokens = c.at("history").get<std::vector<TokenId>>();
    auto logits = c.at("logits").get<std::vector<float>>();
    Penalties penalties(static_cast<int32_t>(logits.size()));

    penalties.Apply(ParamsOf(c), {.tokens = tokens, .prompt_tokens = c.at("prompt_tokens")}, {},
                    logits);

    const auto expected = c.at("adjusted").get<std::vector<float>>();
    for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 2e-6) << c;
  }
}

TEST(ProcessorsTest, DrawsAreFromTransformersDistribution) {
  constexpr int kDraws = 20'000;
  for (const json& c : Cases()) {
    const auto tokens = c.at("history").get<std::vector<TokenId>>();
    const auto logits = c.at("logits").get<std::vector<float>>();
    const SamplingParams params = ParamsOf(c);
    Sampler sampler(static_cast<int32_t>(logits.size()));
    std::vector<int> drawn(logits.size());
    for (int position = 0; position < kDraws; ++position) {
      const TokenHistory history = {.tokens = tokens, .prompt_tokens = c.at("prompt_tokens")};
      ++drawn[static_cast<size_t>(*sampler.Sample(logits, params, history, {}, position))];
    }
    const auto expected = c.at("probabilities").get<std::vector<double>>();
    for (size_t i = 0; i < logits.size(); ++i) {
      // What is filtered out is never drawn; the rest within five standard deviations.
      const double p = expected[i];
      const double deviation = std::sqrt(p * (1 - p) / kDraws);
      EXPECT_NEAR(drawn[i] / static_cast<double>(kDraws), p, 5 * deviation + 1e-6) << i << " " << c;
    }
  }
}

}  // namespace
}  // namespace spillway
