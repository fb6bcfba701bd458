// Every CUDA operator at the shapes of real models: device time, and how near the device's limits.
//
//   bench_gpu_kernels [--json FILE] [--cublas LIBRARY]     measure all
//   bench_gpu_kernels --describe                           the device as JSON, nothing measured
//
// Exit status: 0 done, 1 something failed, 3 there is no GPU.
//
// Device time is the median of 30 replays of a graph of at least 16 calls on rotated data
// (bench/gpu_bench.h). Bytes are the fewest that must move (each input read once, each output
// written once), so GB/s compare with the copy's, which comes first: reads and writes counted.

#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "bench/gpu_bench.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "worker/device/cublas.h"
#include "worker/kernels/gated_activation_cuda.h"
#include "worker/kernels/gemm_cublaslt.h"
#include "worker/kernels/linear_cuda.h"
#include "worker/kernels/paged_attention_cuda.h"
#include "worker/kernels/quantized_linear_cuda.h"
#include "worker/kernels/rms_norm_cuda.h"

namespace spillway {
namespace {

constexpr int kExitNoGpu = 3;
constexpr HalfType kType = HalfType::kBf16;

struct MatrixShape {
  int32_t outputs;
  int32_t inputs;
};
// R1-Distill-Qwen-1.5B: QKV, attention output, gate and up, down, head. Then Llama-3.1-8B's.
constexpr MatrixShape kMatrices[] = {
    {2048, 1536}, {1536, 1536}, {17920, 1536}, {1536, 8960},  {151936, 1536},
    {6144, 4096}, {4096, 4096}, {28672, 4096}, {4096, 14336}, {128256, 4096},
};

std::string LinearShape(int32_t rows, const MatrixShape& matrix) {
  return absl::StrCat("rows ", rows, ", outputs ", matrix.outputs, ", inputs ", matrix.inputs);
}

GpuBench::Work LinearWork(const GpuBench& bench, const std::string& name, int32_t rows,
                          const MatrixShape& matrix) {
  const double weights = double{1.0} * matrix.outputs * matrix.inputs;
  const double bytes = 2 * (weights + double{1.0} * rows * (matrix.inputs + matrix.outputs));
  return {.operator_name = name,
          .shape = LinearShape(rows, matrix),
          .bytes = bytes,
          .flops = 2 * weights * rows,
          .data_sets = bench.DataSetsFor(2 * weights)};
}

absl::Status BenchCopy(GpuBench& bench) {
  constexpr int64_t kBytes = int64_t{2} << 30;
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> from, bench.RandomHalves(kBytes / 2));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> to, DeviceBuffer<uint16_t>::Allocate(kBytes / 2));
  return bench.Measure(
      {.operator_name = "copy", .shape = "2 GiB", .bytes = 2.0 * kBytes},
      [&](int32_t) { return CopyAsync(bench.stream(), to.data(), from.data(), kBytes); });
}

// Weights of so many data sets, x and out of up to `rows_max` rows.
struct LinearData {
  DeviceBuffer<uint16_t> weights;
  DeviceBuffer<uint16_t> x;
  DeviceBuffer<uint16_t> out;

  static absl::StatusOr<LinearData> Make(GpuBench& bench, int32_t rows_max,
                                         const MatrixShape& matrix) {
    const int64_t size = int64_t{matrix.outputs} * matrix.inputs;
    LinearData data;
    ASSIGN_OR_RETURN(data.weights,
                     bench.RandomHalves(size * bench.DataSetsFor(2.0 * static_cast<double>(size))));
    ASSIGN_OR_RETURN(data.x, bench.RandomHalves(int64_t{rows_max} * matrix.inputs));
    ASSIGN_OR_RETURN(data.out, bench.RandomHalves(int64_t{rows_max} * matrix.outputs));
    return data;
  }

  Linear LinearOf(int32_t rows, const MatrixShape& matrix, int32_t data_set) const {
    return {.rows = rows,
            .outputs = matrix.outputs,
            .inputs = matrix.inputs,
            .type = kType,
            .x = x.data(),
            .weight = weights.data() + int64_t{data_set} * matrix.outputs * matrix.inputs,
            .out = out.data()};
  }
};

absl::Status BenchLinears(GpuBench& bench, CublasLtGemm* gemm) {
  for (const MatrixShape& matrix : kMatrices) {
    const bool head = matrix.outputs > 100000;
    ASSIGN_OR_RETURN(const LinearData data, LinearData::Make(bench, head ? 64 : 4096, matrix));
    for (const int32_t rows : {1, 2, 4, 8}) {
      RETURN_IF_ERROR(bench.Measure(LinearWork(bench, "gemv", rows, matrix), [&](int32_t set) {
        return GemvCuda(bench.stream(), data.LinearOf(rows, matrix, set));
      }));
    }
    if (gemm == nullptr) continue;
    for (const int32_t rows : {1, 8, 16, 32, 64, 512, 4096}) {
      if (head && rows > 64) continue;
      const auto run = [&](int32_t set) {
        return gemm->Run(bench.stream(), data.LinearOf(rows, matrix, set));
      };
      RETURN_IF_ERROR(bench.Measure(LinearWork(bench, "gemm_cublaslt guessed", rows, matrix), run));
      std::vector<const uint16_t*> weights;
      for (int32_t set = 0; set < bench.DataSetsFor(2.0 * matrix.outputs * matrix.inputs); ++set) {
        weights.push_back(data.LinearOf(rows, matrix, set).weight);
      }
      RETURN_IF_ERROR(gemm->Tune(bench.stream(), data.LinearOf(rows, matrix, 0), weights));
      RETURN_IF_ERROR(bench.Measure(LinearWork(bench, "gemm_cublaslt tuned", rows, matrix), run));
    }
  }
  return absl::OkStatus();
}

absl::Status BenchQuantized(GpuBench& bench, WeightFormat format, const MatrixShape& matrix) {
  QuantizedMatrixCuda weight = {
      .format = format, .outputs = matrix.outputs, .inputs = matrix.inputs};
  const double weight_bytes =
      static_cast<double>(weight.quant_bytes()) + static_cast<double>(weight.factor_bytes());
  const int32_t sets = bench.DataSetsFor(weight_bytes);
  // Any bits do as quants; as factors bfloat16's bits are f16's of other, finite sizes.
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> quants,
                   bench.RandomHalves(weight.quant_bytes() / 2 * sets));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> factors,
                   bench.RandomHalves(weight.factor_bytes() / 2 * sets));
  constexpr int32_t kRowsMax = 8;
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> x,
                   bench.RandomHalves(int64_t{kRowsMax} * matrix.inputs));
  ASSIGN_OR_RETURN(const DeviceBuffer<int8_t> values,
                   DeviceBuffer<int8_t>::Allocate(int64_t{kRowsMax} * matrix.inputs));
  ASSIGN_OR_RETURN(const DeviceBuffer<float> x_factors,
                   DeviceBuffer<float>::Allocate(int64_t{kRowsMax} * matrix.inputs / 16));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> out,
                   bench.RandomHalves(int64_t{kRowsMax} * matrix.outputs));
  for (const int32_t rows : {1, 2, 4, 8}) {
    const QuantizedRowsCuda quantized = {.rows = rows,
                                         .columns = matrix.inputs,
                                         .values = values.data(),
                                         .factors = x_factors.data()};
    RETURN_IF_ERROR(QuantizeRowsCuda(bench.stream(), kType, x.data(), quantized));
    const GpuBench::Work work = {
        .operator_name = absl::StrCat("quantized_gemv ", std::string(InfoOf(format).name)),
        .shape = LinearShape(rows, matrix),
        .bytes = weight_bytes + double{1.0} * rows * (matrix.inputs * 1.25 + 2.0 * matrix.outputs),
        .flops = 2.0 * matrix.outputs * matrix.inputs * rows,
        .data_sets = sets};
    RETURN_IF_ERROR(bench.Measure(work, [&](int32_t set) {
      QuantizedMatrixCuda part = weight;
      part.quants =
          reinterpret_cast<const uint8_t*>(quants.data()) + int64_t{set} * weight.quant_bytes();
      part.factors =
          reinterpret_cast<const std::byte*>(factors.data()) + int64_t{set} * weight.factor_bytes();
      return QuantizedGemvCuda(bench.stream(),
                               {.weight = part, .x = quantized, .type = kType, .out = out.data()});
    }));
  }
  return absl::OkStatus();
}

absl::Status BenchRows(GpuBench& bench, int32_t rows, int32_t columns, int32_t hidden) {
  const int64_t count = int64_t{rows} * columns;
  ASSIGN_OR_RETURN(const DeviceBuffer<float> residual, bench.Floats(count, 0.5f));
  ASSIGN_OR_RETURN(const DeviceBuffer<float> weight, bench.Floats(columns, 1.0f));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> delta, bench.RandomHalves(count));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> out, bench.RandomHalves(int64_t{rows} * hidden));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> gate_up,
                   bench.RandomHalves(int64_t{rows} * 2 * hidden));
  const std::string shape = absl::StrCat("rows ", rows, ", columns ", columns);
  RETURN_IF_ERROR(bench.Measure(
      {.operator_name = "rms_norm", .shape = shape, .bytes = 12.0 * static_cast<double>(count)},
      [&](int32_t) {
        return RmsNormCuda(bench.stream(), {.rows = rows,
                                            .columns = columns,
                                            .type = kType,
                                            .epsilon = 1e-5f,
                                            .residual = residual.data(),
                                            .delta = delta.data(),
                                            .weight = weight.data(),
                                            .out = out.data()});
      }));
  return bench.Measure({.operator_name = "gated_activation",
                        .shape = absl::StrCat("rows ", rows, ", columns ", hidden),
                        .bytes = 6.0 * rows * hidden},
                       [&](int32_t) {
                         return GatedActivationCuda(bench.stream(), {.rows = rows,
                                                                     .columns = hidden,
                                                                     .type = kType,
                                                                     .gate_up = gate_up.data(),
                                                                     .out = out.data()});
                       });
}

struct AttentionShape {
  int32_t heads;
  int32_t kv_heads;
  int32_t head_size;
};
AttentionScoring ScoringOf(const AttentionShape& shape) {
  return {.scale = 1 / std::sqrt(static_cast<float>(shape.head_size))};
}
constexpr AttentionShape kAttentions[] = {{12, 2, 128}, {32, 8, 128}};

// KV memory for sequences of one length, blocks one after another.
struct KvData {
  DeviceBuffer<uint16_t> keys;
  DeviceBuffer<uint16_t> values;
  DeviceBuffer<int32_t> blocks;
  DeviceBuffer<int32_t> lengths;
  PagedKvCuda kv;
  DeviceBuffer<int32_t> block_begins;
  BlockTableCuda table;

  static absl::StatusOr<KvData> Make(GpuBench& bench, const AttentionShape& shape,
                                     int32_t sequences, int32_t length) {
    const int32_t stride = (length + kKvBlockTokens - 1) / kKvBlockTokens;
    KvData data;
    data.kv = {.type = kType, .kv_heads = shape.kv_heads, .head_size = shape.head_size};
    const int64_t count = data.kv.OffsetOf(int64_t{sequences} * stride, 0, 0);
    ASSIGN_OR_RETURN(data.keys, bench.RandomHalves(count));
    ASSIGN_OR_RETURN(data.values, bench.RandomHalves(count));
    std::vector<int32_t> blocks(static_cast<size_t>(sequences * stride));
    std::iota(blocks.begin(), blocks.end(), 0);
    ASSIGN_OR_RETURN(data.blocks, bench.Integers(blocks));
    ASSIGN_OR_RETURN(data.lengths,
                     bench.Integers(std::vector<int32_t>(static_cast<size_t>(sequences), length)));
    data.kv.keys = data.keys.data();
    data.kv.values = data.values.data();
    std::vector<int32_t> block_begins;
    for (int32_t i = 0; i < sequences; ++i) block_begins.push_back(i * stride);
    ASSIGN_OR_RETURN(data.block_begins, bench.Integers(block_begins));
    data.table = {.blocks = data.blocks.data(), .begins = data.block_begins.data()};
    return data;
  }
};

absl::Status BenchDecode(GpuBench& bench, const AttentionShape& shape, int32_t sequences,
                         int32_t length) {
  ASSIGN_OR_RETURN(const KvData data, KvData::Make(bench, shape, sequences, length));
  const int64_t count = int64_t{sequences} * shape.heads * shape.head_size;
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> queries, bench.RandomHalves(count));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> out, bench.RandomHalves(count));
  for (const int32_t split_tokens : {64, 128, 256, 512}) {
    std::vector<DecodeUnit> host_units;
    std::vector<int32_t> host_first_units;
    for (int32_t i = 0; i < sequences; ++i) {
      host_first_units.push_back(static_cast<int32_t>(host_units.size()));
      AddDecodeUnits(i, length, split_tokens, host_units);
    }
    ASSIGN_OR_RETURN(const DeviceBuffer<int32_t> first_units, bench.Integers(host_first_units));
    ASSIGN_OR_RETURN(const DeviceBuffer<DecodeUnit> units,
                     DeviceBuffer<DecodeUnit>::Allocate(static_cast<int64_t>(host_units.size())));
    RETURN_IF_ERROR(units.CopyFrom(bench.stream(), host_units));
    DecodeAttention attention = {.sequences = sequences,
                                 .heads = shape.heads,
                                 .scoring = ScoringOf(shape),
                                 .kv = data.kv,
                                 .table = data.table,
                                 .lengths = data.lengths.data(),
                                 .queries = queries.data(),
                                 .out = out.data(),
                                 .split_tokens = split_tokens,
                                 .unit_count = static_cast<int32_t>(host_units.size()),
                                 .units = units.data(),
                                 .first_units = first_units.data()};
    ASSIGN_OR_RETURN(const DeviceBuffer<float> partials,
                     DeviceBuffer<float>::Allocate(attention.PartialCount()));
    attention.partials = partials.data();
    const double kv_values = 2.0 * sequences * length * shape.kv_heads * shape.head_size;
    const GpuBench::Work work = {
        .operator_name = "decode_attention",
        .shape = absl::StrCat("sequences ", sequences, ", length ", length, ", heads ", shape.heads,
                              "/", shape.kv_heads, ", split ", split_tokens),
        .bytes = 2 * (kv_values + 2.0 * static_cast<double>(count)),
        .flops = 2 * kv_values * (shape.heads / shape.kv_heads)};
    RETURN_IF_ERROR(bench.Measure(
        work, [&](int32_t) { return DecodeAttentionCuda(bench.stream(), attention); }));
  }
  return absl::OkStatus();
}

absl::Status BenchPrefill(GpuBench& bench, const AttentionShape& shape, int32_t tokens) {
  ASSIGN_OR_RETURN(const KvData data, KvData::Make(bench, shape, 1, tokens));
  ASSIGN_OR_RETURN(const DeviceBuffer<int32_t> row_begins, bench.Integers({0, tokens}));
  const int64_t count = int64_t{tokens} * shape.heads * shape.head_size;
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> queries, bench.RandomHalves(count));
  ASSIGN_OR_RETURN(const DeviceBuffer<uint16_t> out, bench.RandomHalves(count));
  const double pairs = 0.5 * tokens * (tokens + 1.0);  // of query and key, with the causal mask
  const GpuBench::Work work = {
      .operator_name = "prefill_attention",
      .shape = absl::StrCat("tokens ", tokens, ", heads ", shape.heads, "/", shape.kv_heads),
      .bytes = 4.0 * static_cast<double>(count) + 4.0 * tokens * shape.kv_heads * shape.head_size,
      .flops = 4.0 * pairs * shape.heads * shape.head_size};
  return bench.Measure(work, [&](int32_t) {
    return PrefillAttentionCuda(bench.stream(), {.sequences = 1,
                                                 .heads = shape.heads,
                                                 .count_max = tokens,
                                                 .scoring = ScoringOf(shape),
                                                 .kv = data.kv,
                                                 .table = data.table,
                                                 .row_begins = row_begins.data(),
                                                 .lengths = data.lengths.data(),
                                                 .queries = queries.data(),
                                                 .out = out.data()});
  });
}

absl::Status BenchAll(GpuBench& bench, CublasLtGemm* gemm) {
  RETURN_IF_ERROR(BenchCopy(bench));
  RETURN_IF_ERROR(BenchLinears(bench, gemm));
  for (const WeightFormat format : {WeightFormat::kQ8_0, WeightFormat::kQ4_1, WeightFormat::kQ4_0,
                                    WeightFormat::kQ4_K, WeightFormat::kQ6_K}) {
    for (const MatrixShape matrix : {kMatrices[2], kMatrices[5], kMatrices[7], kMatrices[8]}) {
      RETURN_IF_ERROR(BenchQuantized(bench, format, matrix));
    }
  }
  for (const int32_t rows : {1, 64, 4096}) RETURN_IF_ERROR(BenchRows(bench, rows, 4096, 14336));
  for (const AttentionShape& shape : kAttentions) {
    for (const auto& [sequences, length] :
         {std::pair{1, 1024}, std::pair{1, 8192}, std::pair{16, 1024}, std::pair{64, 1024}}) {
      RETURN_IF_ERROR(BenchDecode(bench, shape, sequences, length));
    }
    for (const int32_t tokens : {512, 4096}) RETURN_IF_ERROR(BenchPrefill(bench, shape, tokens));
  }
  return absl::OkStatus();
}

nlohmann::json DescribeDevice(const CudaDevice& device) {
  const CudaVersions versions = GetCudaVersions();
  return {{"name", device.name},
          {"compute_capability", absl::StrCat(device.compute_major, ".", device.compute_minor)},
          {"multiprocessors", device.multiprocessors},
          {"l2_bytes", device.l2_bytes},
          {"memory_bytes", device.memory_bytes},
          {"memory_bytes_per_second_nominal", device.memory_bytes_per_second},
          {"cuda_driver", versions.driver},
          {"cuda_runtime", versions.runtime}};
}

nlohmann::json ToJson(const GpuBench& bench, int64_t cublaslt_version) {
  nlohmann::json all = {{"device", DescribeDevice(bench.device())},
                        {"cublaslt_version", cublaslt_version},
                        {"measurements", nlohmann::json::array()}};
  for (const GpuMeasurement& m : bench.measurements()) {
    all["measurements"].push_back({{"operator", m.operator_name},
                                   {"shape", m.shape},
                                   {"microseconds", m.microseconds},
                                   {"microseconds_p90", m.microseconds_p90},
                                   {"bytes_per_second", m.bytes / m.microseconds * 1e6},
                                   {"flops_per_second", m.flops / m.microseconds * 1e6}});
  }
  return all;
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "bench_gpu_kernels: %s\n", std::string(status.message()).c_str());
  return absl::IsNotFound(status) ? kExitNoGpu : 1;
}

int Describe() {
  const absl::StatusOr<std::vector<CudaDevice>> devices = ListCudaDevices();
  if (!devices.ok()) return Fail(devices.status());
  std::printf("%s\n", DescribeDevice(devices->front()).dump().c_str());
  return 0;
}

int Run(const std::string& json_path, const std::string& cublas_path) {
  absl::StatusOr<GpuBench> bench = GpuBench::Create();
  if (!bench.ok()) return Fail(bench.status());
  std::optional<CublasLtGemm> gemm;
  const absl::StatusOr<CublasLt> cublas = CublasLt::Open(cublas_path);
  if (cublas.ok()) {
    absl::StatusOr<CublasLtGemm> made = CublasLtGemm::Create(*cublas, {});
    if (!made.ok()) return Fail(made.status());
    gemm.emplace(*std::move(made));
  } else {
    std::fprintf(stderr, "bench_gpu_kernels: without cuBLASLt: %s\n",
                 std::string(cublas.status().message()).c_str());
  }
  const absl::Status status = BenchAll(*bench, gemm ? &*gemm : nullptr);
  // What was measured before a failure is kept.
  if (!json_path.empty()) {
    std::ofstream(json_path) << ToJson(*bench, cublas.ok() ? cublas->version() : 0).dump(1) << "\n";
  }
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  std::string json_path;
  std::string cublas_path;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--describe") return spillway::Describe();
    if (argument == "--json" && i + 1 < argc) {
      json_path = argv[++i];
    } else if (argument == "--cublas" && i + 1 < argc) {
      cublas_path = argv[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--json FILE] [--cublas LIBRARY] | --describe\n", argv[0]);
      return 2;
    }
  }
  return spillway::Run(json_path, cublas_path);
}
