// How fast one thread multiplies by each weight format, on each instruction set of this machine.
//
//   build/release/bin/bench_cpu_matmul [--benchmark_filter='Q4_K/avx512_vnni']
//
// Names are FORMAT/INSTRUCTION SET/ROWS. 1 row is decoding over a matrix of 32 million weights,
// which streams from the last-level cache or memory: compare `weights` (packed bytes a second) with
// the machine's bandwidth a core. 64 rows are prefill over a matrix that stays in the second-level
// cache: compare `macs` with 256 a cycle and core, what two 64-byte integer dot products give (VNNI
// on AVX-512); without VNNI a third of that. Times are CPU time, so that a shared machine matters
// less.
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "worker/device/cpu_isa.h"
#include "worker/kernels/cpu_kernels.h"

namespace spillway {
namespace {

constexpr int32_t kInputs = 2048;

// Weights of random bytes, all factors near 1: subnormal numbers would cost a hundred times as
// much.
class RandomMatrix {
 public:
  RandomMatrix(WeightFormat format, int32_t outputs) {
    matrix_ = {.format = format, .outputs = outputs, .inputs = kInputs};
    memory_.resize(static_cast<size_t>(matrix_.bytes()) + 64);
    std::mt19937 random(1);
    for (size_t i = 0; i + 4 <= memory_.size(); i += 4) {
      // Exponents of f32 as well as of f16 and bf16 pairs stay near 1.
      const auto bits = (static_cast<uint32_t>(random()) & 0x83ff83ff) | 0x3c003c00;
      std::memcpy(&memory_[i], &bits, sizeof(bits));
    }
    matrix_.panels = memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64) % 64;
  }
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  std::vector<std::byte> memory_;
  PackedMatrix matrix_;
};

void BM_MatMul(benchmark::State& state, WeightFormat format, CpuIsa isa, int32_t rows) {
  const CpuKernels& kernels = CpuKernelsFor(isa);
  const RandomMatrix weights(format, /*outputs=*/rows == 1 ? 16'384 : 256);
  const PackedMatrix& matrix = weights.matrix();
  std::vector<float> x(static_cast<size_t>(rows * kInputs), 0.5f);
  std::vector<std::byte> memory(static_cast<size_t>(QuantizedRows::BytesFor(rows, kInputs)));
  const QuantizedRows quantized = QuantizedRows::At(memory.data(), rows, kInputs);
  for (int32_t row = 0; row < rows; ++row) {
    kernels.quantize_row(&x[static_cast<size_t>(row * kInputs)], quantized, row);
  }
  const MatMulInput input = {
      .row_count = rows, .quantized = quantized, .values = x.data(), .value_stride = kInputs};
  std::vector<float> out(static_cast<size_t>(rows * matrix.outputs));
  for (auto _ : state) {
    kernels.mat_mul(matrix, input, 0, matrix.panel_count(),
                    {.values = out.data(), .stride = matrix.outputs});
    benchmark::ClobberMemory();
  }
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["macs"] = {double{1} * rows * kInputs * matrix.outputs, rate};
  state.counters["weights"] = {static_cast<double>(matrix.bytes()), rate};
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  using namespace spillway;  // NOLINT: a main of a few lines
  for (int32_t i = 0; i < kWeightFormatCount; ++i) {
    const auto format = static_cast<WeightFormat>(i);
    for (const CpuIsa isa : SupportedCpuIsas()) {
      for (const int32_t rows : {1, 64}) {
        const std::string name = std::string(InfoOf(format).name) + "/" +
                                 std::string(CpuIsaName(isa)) + "/" + std::to_string(rows);
        benchmark::RegisterBenchmark(name.c_str(), BM_MatMul, format, isa, rows);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
