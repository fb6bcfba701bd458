// bench_engine: how fast the CPU executor runs a model.
//
//   bench_engine --model MODEL.gguf [--threads N] [--repetitions N] [--prompt-tokens N]
//                [--llama-bench PATH]
//
// Measures, through the Executor seam as the engine loop uses it (two steps in flight):
//   prefill         one prompt (530 tokens), in steps of at most 512
//   decode N        N sequences that decode together from position 158 on, 64 tokens each, greedy
// and prints for each the best and the median of the repetitions in tokens a second, and what the
// best means in GMAC/s (weights only) and in GB/s of packed weights read.
//
// With --llama-bench, runs llama.cpp's llama-bench on the same work (prefill, decode 1) before each
// repetition, so that both see the same machine, and prints the ratio of the medians. For several
// sequences use llama-batched-bench by hand: -npp 158 -ntg 64 -npl 16,32.
//
// What bounds it: prefill, two integer dot products of 64 bytes a cycle and core; decode of one,
// reading all weights once a token; between 8 and 32 sequences a mixture.
// Only ratios within one run count: machines differ, and neighbours disturb.

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "bench/engine_driver.h"
#include "worker/cpu_executor.h"
#include "worker/device/cpu_isa.h"

namespace spillway {
namespace {

struct Options {
  std::string model;
  int32_t threads = 0;
  int32_t repetitions = 5;
  int32_t prompt_tokens = 530;
  std::string llama_bench;
};

constexpr int32_t kDecodePosition = 158;
constexpr int32_t kDecodeTokens = 64;
constexpr int32_t kStepTokens = 512;
constexpr int32_t kSequencesMax = 32;

// Rates of one kind of work over the repetitions.
struct Series {
  std::string name;
  std::vector<double> tokens_per_second;

  double best() const {
    return *std::max_element(tokens_per_second.begin(), tokens_per_second.end());
  }
  double median() const {
    std::vector<double> sorted = tokens_per_second;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

// The "t/s" that llama-bench prints for one test; 0 when it can't be run or read.
double LlamaBench(const Options& options, int32_t threads, const std::string& test) {
  const std::string command = options.llama_bench + " -m '" + options.model + "' -t " +
                              std::to_string(threads) + " -r 1 -o csv " + test + " 2>/dev/null";
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return 0;
  std::string output;
  std::array<char, 4096> buffer;
  while (const size_t size = fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), size);
  }
  pclose(pipe);
  // The last line's last but one field is avg_ts, in quotes.
  while (!output.empty() && output.back() == '\n') output.pop_back();
  const size_t last = output.rfind(',');
  if (last == std::string::npos || last == 0) return 0;
  const size_t before = output.rfind(',', last - 1);
  if (before == std::string::npos) return 0;
  return std::atof(output.c_str() + before + 2);
}

void Print(const Series& series, double macs_per_token, double bytes_per_token) {
  std::printf("%-12s %9.1f %9.1f %9.1f %8.2f\n", series.name.c_str(), series.best(),
              series.median(), series.best() * macs_per_token * 1e-9,
              series.best() * bytes_per_token * 1e-9);
}

void PrintRatio(const Series& ours, const Series& theirs) {
  if (theirs.median() <= 0) {
    std::printf("%-12s llama-bench gave no result\n", ours.name.c_str());
    return;
  }
  std::printf("%-12s llama.cpp %.1f tok/s (median), ratio %.2f\n", ours.name.c_str(),
              theirs.median(), ours.median() / theirs.median());
}

int Main(const Options& options) {
  const double start = SecondsNow();
  const auto file = GgufFile::Open(options.model);
  if (!file.ok()) {
    std::fprintf(stderr, "%s\n", file.status().ToString().c_str());
    return 1;
  }
  const auto spec = ModelSpecFromGguf(**file);
  if (!spec.ok()) {
    std::fprintf(stderr, "%s\n", spec.status().ToString().c_str());
    return 1;
  }
  const int32_t positions = std::max(options.prompt_tokens, kDecodePosition + kDecodeTokens + 2);
  const auto executor = MakeCpuExecutor(*spec, **file,
                                        {.threads = options.threads,
                                         .running_max = kSequencesMax,
                                         .step_tokens_max = kStepTokens,
                                         .block_count = kSequencesMax * ((positions + 15) / 16),
                                         .sequence_tokens_max = positions});
  if (!executor.ok()) {
    std::fprintf(stderr, "%s\n", executor.status().ToString().c_str());
    return 1;
  }
  std::printf("%s, ready after %.2f s\n", (*executor)->device_name().c_str(), SecondsNow() - start);

  int64_t weight_bytes = 0;
  int64_t weight_count = 0;
  for (const ModelTensor& tensor : (*file)->tensors()) {
    if (tensor.dims.size() < 2) continue;
    weight_bytes += static_cast<int64_t>(tensor.data.size());
    weight_count += tensor.dims[0] * tensor.dims[1];
  }
  if (!spec->tied_embeddings) {  // the embedding table is looked up, not multiplied
    weight_count -= int64_t{spec->vocabulary_size} * spec->hidden_size;
  }
  const int64_t head_count = int64_t{spec->vocabulary_size} * spec->hidden_size;
  const int32_t threads = options.threads > 0 ? options.threads : UsableCoreCount();

  EngineDriver engine(**executor, positions, kSequencesMax);
  engine.Prefill(0, options.prompt_tokens);  // touches all memory once
  const int32_t batches[] = {1, 16, 32};
  Series prefill = {"prefill", {}};
  Series decode[] = {{"decode 1", {}}, {"decode 16", {}}, {"decode 32", {}}};
  Series llama_prefill, llama_decode;
  for (int32_t i = 0; i < options.repetitions; ++i) {
    if (!options.llama_bench.empty()) {
      llama_prefill.tokens_per_second.push_back(
          LlamaBench(options, threads, "-n 0 -p " + std::to_string(options.prompt_tokens)));
      llama_decode.tokens_per_second.push_back(LlamaBench(
          options, threads,
          "-p 0 -n " + std::to_string(kDecodeTokens) + " -d " + std::to_string(kDecodePosition)));
    }
    prefill.tokens_per_second.push_back(options.prompt_tokens /
                                        engine.Prefill(0, options.prompt_tokens));
    for (size_t j = 0; j < 3; ++j) {
      decode[j].tokens_per_second.push_back(
          batches[j] * kDecodeTokens / engine.Decode(batches[j], kDecodePosition, kDecodeTokens));
    }
  }
  std::printf("             best t/s  median    GMAC/s     GB/s\n");
  Print(prefill, static_cast<double>(weight_count - head_count),
        static_cast<double>(weight_bytes) / std::min(kStepTokens, options.prompt_tokens));
  for (size_t j = 0; j < 3; ++j) {
    Print(decode[j], static_cast<double>(weight_count),
          static_cast<double>(weight_bytes) / batches[j]);
  }
  std::printf("16 sequences decode %.2f times as fast as one\n",
              decode[1].median() / decode[0].median());
  if (!options.llama_bench.empty()) {
    PrintRatio(prefill, llama_prefill);
    PrintRatio(decode[0], llama_decode);
  }
  return 0;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  spillway::Options options;
  CLI::App app("Measures the CPU executor; the source's first lines are its manual.");
  app.add_option("--model", options.model, "GGUF file")->required();
  app.add_option("--threads", options.threads, "0: one per usable core");
  app.add_option("--repetitions", options.repetitions)->check(CLI::PositiveNumber);
  app.add_option("--prompt-tokens", options.prompt_tokens)->check(CLI::PositiveNumber);
  app.add_option("--llama-bench", options.llama_bench, "path of llama.cpp's llama-bench");
  CLI11_PARSE(app, argc, argv);
  return spillway::Main(options);
}
