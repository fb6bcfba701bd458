// bench_cuda_engine: how fast the CUDA executor runs models of the true shapes, with random
// weights.
//
//   bench_cuda_engine [--shape NAME]… [--format BF16|Q8_0|Q4_0|Q4_1|Q4_K|Q6_K] [--json FILE]
//                     [--repetitions N] [--cublas LIBRARY] [--gpu-memory-bytes N]
//
// Shapes: r1-distill-qwen-1.5b, qwen2.5-7b, llama-3.1-8b, qwen3-8b; default: all. Exit status: 0
// done, 1 something failed, 3 there is no GPU or no cuBLASLt.
//
// Measures through the Executor seam as the engine loop uses it (two steps in flight), the best of
// the repetitions:
//   load            from mapped memory to ready; the tensors alias one piece of host memory
//   prefill 4096    one prompt, in steps of 2,048: tok/s, and FLOP/s of the matrix products alone
//   decode 1        one sequence from position 128 on, 128 tokens: tok/s, and bytes/s of weights
//   decode 64       64 sequences from position 1,024 on: the same, with the KV that is read
// What bounds it: decode, reading all weights (and KV) once a step; prefill, the tensor cores.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "bench/engine_driver.h"
#include "nlohmann/json.hpp"
#include "worker/cuda/make_cuda_executor.h"
#include "worker/kernels/half.h"
#include "worker/kernels/packed_matrix.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {
namespace {

constexpr int kExitNoGpu = 3;
constexpr int32_t kPrefillTokens = 4096;
constexpr int32_t kDecodeTokens = 128;
constexpr int32_t kOnePosition = 128;
constexpr int32_t kManySequences = 64;
constexpr int32_t kManyPosition = 1024;
constexpr int32_t kPositionsMax = kPrefillTokens + 16;

struct Shape {
  const char* name;
  int32_t layers;
  int32_t hidden;
  int32_t intermediate;
  int32_t heads;
  int32_t kv_heads;
  int32_t vocabulary;
  bool tied;
  bool qkv_bias;
  bool qk_norm;
};
// Of their config.json files; heads have 128 values.
constexpr Shape kShapes[] = {
    {"r1-distill-qwen-1.5b", 28, 1536, 8960, 12, 2, 151936, false, true, false},
    {"qwen2.5-7b", 28, 3584, 18944, 28, 4, 152064, false, true, false},
    {"llama-3.1-8b", 32, 4096, 14336, 32, 8, 128256, false, false, false},
    {"qwen3-8b", 36, 4096, 12288, 32, 8, 151936, false, false, true},
};

ModelSpec SpecOf(const Shape& shape) {
  ModelSpec spec;
  spec.architecture = "llama";
  spec.name = shape.name;
  spec.layer_count = shape.layers;
  spec.hidden_size = shape.hidden;
  spec.intermediate_size = shape.intermediate;
  spec.head_count = shape.heads;
  spec.kv_head_count = shape.kv_heads;
  spec.head_size = 128;
  spec.rope_size = 128;
  spec.rope = MakeRope(1e6, spec.rope_size);
  spec.rope_layout = ModelSpec::RopeLayout::kHalves;
  spec.vocabulary_size = shape.vocabulary;
  spec.context_tokens_max = 32768;
  spec.rms_norm_epsilon = 1e-6f;
  spec.tied_embeddings = shape.tied;
  spec.qkv_bias = shape.qkv_bias;
  spec.qk_norm = shape.qk_norm;
  return spec;
}

// Random tensors of a shape. All matrices are the same piece of host memory, cut to size: the
// device gets its own copy of each.
class RandomTensors : public TensorSource {
 public:
  RandomTensors(const Shape& shape, TensorType type) : type_(type) {
    const int64_t hidden = shape.hidden;
    const int64_t query = int64_t{shape.heads} * 128;
    const int64_t kv = int64_t{shape.kv_heads} * 128;
    AddMatrix("token_embd", hidden, shape.vocabulary);
    if (!shape.tied) AddMatrix("output", hidden, shape.vocabulary);
    AddVector("output_norm.weight", hidden);
    for (int32_t i = 0; i < shape.layers; ++i) {
      const std::string layer = absl::StrCat("blk.", i, ".");
      AddVector(layer + "attn_norm.weight", hidden);
      AddVector(layer + "ffn_norm.weight", hidden);
      AddMatrix(layer + "attn_q", hidden, query);
      AddMatrix(layer + "attn_k", hidden, kv);
      AddMatrix(layer + "attn_v", hidden, kv);
      AddMatrix(layer + "attn_output", query, hidden);
      AddMatrix(layer + "ffn_gate", hidden, shape.intermediate);
      AddMatrix(layer + "ffn_up", hidden, shape.intermediate);
      AddMatrix(layer + "ffn_down", shape.intermediate, hidden);
      if (shape.qkv_bias) {
        AddVector(layer + "attn_q.bias", query);
        AddVector(layer + "attn_k.bias", kv);
        AddVector(layer + "attn_v.bias", kv);
      }
      if (shape.qk_norm) {
        AddVector(layer + "attn_q_norm.weight", 128);
        AddVector(layer + "attn_k_norm.weight", 128);
      }
    }
    Fill();
  }

  const ModelTensor* FindTensor(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second;
  }
  std::string HeaderHash() const override { return "random"; }

  // What one decode step reads: all matrices but the embedding table.
  int64_t step_bytes() const { return step_bytes_; }
  int64_t step_weights() const { return step_weights_; }

 private:
  void AddMatrix(const std::string& name, int64_t inputs, int64_t outputs) {
    const auto bytes =
        outputs * SourceRowBytes(WeightFormatOf(type_), static_cast<int32_t>(inputs));
    Add({.name = name + ".weight", .type = type_, .dims = {inputs, outputs}}, bytes);
    if (name == "token_embd") return;
    step_bytes_ += bytes;
    step_weights_ += inputs * outputs;
  }
  void AddVector(const std::string& name, int64_t size) {
    Add({.name = name, .type = TensorType::kF32, .dims = {size}}, size * 4);
  }
  void Add(ModelTensor tensor, int64_t bytes) {
    largest_ = std::max(largest_, bytes);
    sizes_[tensor.name] = bytes;
    tensors_[tensor.name] = std::move(tensor);
  }

  void Fill() {
    memory_.resize(static_cast<size_t>(largest_));
    ones_.assign(1 << 16, 1.0f);
    // A few megabytes of random values, again and again. Of quantised formats any bits do, but
    // factors must be finite and small: bytes below 0x40 are.
    constexpr size_t kPeriod = size_t{1} << 22;
    std::mt19937 random(1);
    std::vector<std::byte> period(kPeriod);
    if (type_ == TensorType::kBF16) {
      std::normal_distribution<float> normal(0, 0.02f);
      for (size_t i = 0; i < kPeriod; i += 2) {
        const uint16_t value = FloatToBFloat16(normal(random));
        std::memcpy(&period[i], &value, 2);
      }
    } else {
      for (std::byte& byte : period) byte = static_cast<std::byte>(random() & 0x1f);
    }
    for (size_t at = 0; at < memory_.size(); at += kPeriod) {
      std::memcpy(&memory_[at], period.data(), std::min(kPeriod, memory_.size() - at));
    }
    for (auto& [name, tensor] : tensors_) {
      const auto size = static_cast<size_t>(sizes_[name]);
      const std::byte* const data = tensor.type == TensorType::kF32
                                        ? reinterpret_cast<const std::byte*>(ones_.data())
                                        : memory_.data();
      tensor.data = {data, size};
    }
  }

  const TensorType type_;
  std::map<std::string, ModelTensor> tensors_;
  std::map<std::string, int64_t> sizes_;
  std::vector<std::byte> memory_;
  std::vector<float> ones_;
  int64_t largest_ = 0;
  int64_t step_bytes_ = 0;
  int64_t step_weights_ = 0;
};

struct Options {
  std::vector<std::string> shapes;
  std::string format = "BF16";
  std::string json;
  std::string cublas;
  int32_t repetitions = 3;
  int64_t gpu_memory_bytes = 0;
};

absl::StatusOr<nlohmann::json> Measure(const Shape& shape, TensorType type,
                                       const Options& options) {
  const ModelSpec spec = SpecOf(shape);
  const RandomTensors tensors(shape, type);
  const double start = SecondsNow();
  const auto executor = MakeCudaExecutor(spec, tensors,
                                         {.running_max = kManySequences,
                                          .step_tokens_max = 2048,
                                          .sequence_tokens_max = kPositionsMax,
                                          .memory_bytes = options.gpu_memory_bytes,
                                          .cublas_path = options.cublas});
  if (!executor.ok()) return executor.status();
  const double load_seconds = SecondsNow() - start;
  EngineDriver one(**executor, kPositionsMax, 1);
  const int32_t many_positions = kManyPosition + kDecodeTokens + 16;
  EngineDriver many(**executor, many_positions, kManySequences);
  double prefill = INFINITY;
  double decode_one = INFINITY;
  double decode_many = INFINITY;
  // The first round makes the graphs and doesn't count.
  for (int32_t i = 0; i <= options.repetitions; ++i) {
    const double seconds[] = {one.Prefill(0, kPrefillTokens),
                              one.Decode(1, kOnePosition, kDecodeTokens),
                              many.Decode(kManySequences, kManyPosition, kDecodeTokens)};
    if (i == 0) continue;
    prefill = std::min(prefill, seconds[0]);
    decode_one = std::min(decode_one, seconds[1]);
    decode_many = std::min(decode_many, seconds[2]);
  }
  const auto weights = static_cast<double>(tensors.step_weights());
  const auto bytes = static_cast<double>(tensors.step_bytes());
  const double head = double{1.0} * shape.vocabulary * shape.hidden;
  const double kv_bytes = 2.0 * 2.0 * shape.layers * shape.kv_heads * 128 * kManySequences *
                          (kManyPosition + kDecodeTokens / 2.0);
  nlohmann::json result = {
      {"shape", shape.name},
      {"format", options.format},
      {"device", (*executor)->device_name()},
      {"load_seconds", load_seconds},
      {"prefill_tokens_per_second", kPrefillTokens / prefill},
      {"prefill_flops_per_second", 2 * (weights - head) * kPrefillTokens / prefill},
      {"decode_1_tokens_per_second", kDecodeTokens / decode_one},
      {"decode_1_bytes_per_second", bytes * kDecodeTokens / decode_one},
      {"decode_64_tokens_per_second", double{1.0} * kManySequences * kDecodeTokens / decode_many},
      {"decode_64_bytes_per_second", (bytes + kv_bytes) * kDecodeTokens / decode_many}};
  std::printf("%s\n", result.dump(1).c_str());
  return result;
}

int Main(const Options& options) {
  const absl::Status usable = CheckCuda({.cublas_path = options.cublas});
  if (!usable.ok()) {
    std::fprintf(stderr, "bench_cuda_engine: %s\n", std::string(usable.message()).c_str());
    return kExitNoGpu;
  }
  std::optional<TensorType> type;
  for (const TensorType known : {TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_0,
                                 TensorType::kQ4_1, TensorType::kQ4_K, TensorType::kQ6_K}) {
    if (TensorTypeName(known) == options.format) type = known;
  }
  if (!type.has_value()) {
    std::fprintf(stderr, "bench_cuda_engine: no format %s\n", options.format.c_str());
    return 1;
  }
  nlohmann::json all = nlohmann::json::array();
  bool failed = false;
  for (const Shape& shape : kShapes) {
    const bool wanted = options.shapes.empty() ||
                        std::ranges::find(options.shapes, shape.name) != options.shapes.end();
    if (!wanted) continue;
    const absl::StatusOr<nlohmann::json> result = Measure(shape, *type, options);
    if (result.ok()) {
      all.push_back(*result);
      continue;
    }
    failed = true;
    std::fprintf(stderr, "bench_cuda_engine: %s: %s\n", shape.name,
                 std::string(result.status().message()).c_str());
    all.push_back({{"shape", shape.name}, {"failed", std::string(result.status().message())}});
  }
  if (!options.json.empty()) std::ofstream(options.json) << all.dump(1) << "\n";
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  spillway::Options options;
  CLI::App app("Measures the CUDA executor; the source's first lines are its manual.");
  app.add_option("--shape", options.shapes, "repeatable; default: all");
  app.add_option("--format", options.format, "of all matrices");
  app.add_option("--json", options.json, "file for the results");
  app.add_option("--cublas", options.cublas, "path of libcublasLt.so.13");
  app.add_option("--repetitions", options.repetitions)->check(CLI::PositiveNumber);
  app.add_option("--gpu-memory-bytes", options.gpu_memory_bytes, "as if the GPU had no more");
  CLI11_PARSE(app, argc, argv);
  return spillway::Main(options);
}
