// record_steps: how long the steps of a real model take, for simulations that need real step times
// (tests/simulation/testdata/README.md).
//
//   record_steps --model MODEL.gguf [--threads N] [--steps N] > STEPS.csv
//
// Runs random steps as a scheduler would plan them, one after the other: up to 16 decodes at
// positions up to the model's context (4,096 at most), without or with one chunk of prefill of up
// to 512 tokens. A line for each: tokens, rows, context_tokens (scheduler/step_cost.h), prefills
// (0 or 1), microseconds.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "bench/engine_driver.h"
#include "scheduler/step_cost.h"
#include "worker/cpu_executor.h"
#include "worker/model/gguf.h"

namespace spillway {
namespace {

struct Options {
  std::string model;
  int32_t threads = 0;
  int32_t steps = 1500;
};

constexpr int32_t kSequencesMax = 16;
constexpr int32_t kChunkMax = 512;
constexpr int32_t kPositionsMax = 4096;

int32_t Uniform(std::mt19937& random, int32_t least, int32_t most) {
  return std::uniform_int_distribution<int32_t>(least, most)(random);
}

// Small numbers as often as large ones.
int32_t LogUniform(std::mt19937& random, int32_t least, int32_t most) {
  const double power = std::uniform_real_distribution<>(std::log(least), std::log(most))(random);
  return std::clamp(static_cast<int32_t>(std::exp(power)), least, most);
}

int Main(const Options& options) {
  const auto file = GgufFile::Open(options.model);
  const auto spec =
      file.ok() ? ModelSpecFromGguf(**file) : absl::StatusOr<ModelSpec>(file.status());
  if (!spec.ok()) {
    std::fprintf(stderr, "%s\n", spec.status().ToString().c_str());
    return 1;
  }
  const int32_t positions = std::min(kPositionsMax, spec->context_tokens_max);
  const auto executor =
      MakeCpuExecutor(*spec, **file,
                      {.threads = options.threads,
                       .running_max = kSequencesMax + 1,
                       .step_tokens_max = kChunkMax + kSequencesMax,
                       .block_count = (kSequencesMax + 1) * ((positions + 15) / 16),
                       .sequence_tokens_max = positions});
  if (!executor.ok()) {
    std::fprintf(stderr, "%s\n", executor.status().ToString().c_str());
    return 1;
  }
  std::printf("# %s\ntokens,rows,context_tokens,prefills,microseconds\n",
              (*executor)->device_name().c_str());
  EngineDriver engine(**executor, positions, kSequencesMax + 1);
  // Memory that was never written is quicker to read.
  for (int32_t slot = 0; slot <= kSequencesMax; ++slot) engine.Prefill(slot, positions);
  std::mt19937 random(1);
  for (int32_t i = 0; i < options.steps; ++i) {
    std::vector<EngineDriver::Part> parts;
    StepWork work;
    const int32_t decodes = Uniform(random, 0, 3) == 0 ? 0 : LogUniform(random, 1, kSequencesMax);
    const int32_t longest = LogUniform(random, 64, positions - 1);
    for (int32_t slot = 0; slot < decodes; ++slot) {
      parts.push_back({.slot = slot, .begin = Uniform(random, 16, longest), .count = 1});
    }
    if (decodes == 0 || Uniform(random, 0, 1) == 1) {
      const int32_t count = LogUniform(random, 2, kChunkMax);
      const int32_t begin = Uniform(random, 0, std::max(0, longest - count));
      parts.push_back({.slot = kSequencesMax, .begin = begin, .count = count});
    }
    for (const EngineDriver::Part& part : parts) work.Add(part.begin, part.count);
    const double seconds = engine.Step(parts);
    std::printf("%ld,%ld,%ld,%d,%.0f\n", static_cast<long>(work.tokens),
                static_cast<long>(work.rows), static_cast<long>(work.context_tokens),
                work.prefills ? 1 : 0, seconds * 1e6);
  }
  return 0;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  spillway::Options options;
  CLI::App app("Records step times; the source's first lines are its manual.");
  app.add_option("--model", options.model, "GGUF file")->required();
  app.add_option("--threads", options.threads, "0: one per usable core");
  app.add_option("--steps", options.steps)->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  return spillway::Main(options);
}
