#include "common/check.h"
#include "worker/device/cuda_status.h"
#include "worker/kernels/cuda_math.cuh"
#include "worker/kernels/linear_cuda.h"
#include "worker/kernels/quantize.h"
#include "worker/kernels/quantized_linear_cuda.h"

// The product of quantised weights and quantised rows, four products an instruction (dp4a), as
// llama.cpp's mmvq does it (https://github.com/ggml-org/llama.cpp, ggml-cuda/mmvq.cu). The shape of
// the work is gemv.cu's; a lane takes a block of 32 inputs at a time.

namespace spillway {
namespace {

constexpr int kBlockInputs = 32;
constexpr int kOutputs = 4;
constexpr int kUnroll = 2;
constexpr int kThreads = 256;

constexpr bool IsNibbles(WeightFormat format) { return format != WeightFormat::kQ8_0; }
constexpr bool HasMinimum(WeightFormat format) {
  return format == WeightFormat::kQ4_0 || format == WeightFormat::kQ4_1 ||
         format == WeightFormat::kQ4_K;
}

__device__ __forceinline__ float HalfAt(const std::byte* from, int64_t index) {
  return LoadHalf<HalfType::kF16>(reinterpret_cast<const uint16_t*>(from)[index]);
}
__device__ __forceinline__ float2 HalfPairAt(const std::byte* from, int64_t index) {
  return UnpackPair<HalfType::kF16>(reinterpret_cast<const uint32_t*>(from)[index]);
}

// A block of 32 weights: quant * scale + minimum. The scale of inputs 0-15 and that of 16-31 differ
// in Q6_K alone, whose quants are signed as Q8_0's are.
template <WeightFormat kFormat>
struct WeightBlock {
  uint4 packed[2];  // of nibbles the first only
  uint2 high;       // of Q6_K
  float scales[2];
  float minimum;

  __device__ __forceinline__ void Load(const QuantizedMatrixCuda& weight, int64_t output,
                                       int block) {
    const int blocks = weight.blocks();
    const uint8_t* const quants = weight.quants + output * weight.quant_row_bytes();
    const std::byte* const factors = weight.factors + output * weight.factor_row_bytes();
    constexpr int kBytes = IsNibbles(kFormat) ? 16 : 32;
    packed[0] = LoadStreaming16(quants + block * kBytes);
    packed[1] = {};
    high = {};
    if constexpr (!IsNibbles(kFormat)) packed[1] = LoadStreaming16(quants + block * kBytes + 16);
    minimum = 0;
    if constexpr (kFormat == WeightFormat::kQ4_1) {
      const float2 pair = HalfPairAt(factors, block);
      scales[0] = pair.x;
      minimum = pair.y;
    } else if constexpr (kFormat == WeightFormat::kQ4_K) {
      const uint16_t bytes = reinterpret_cast<const uint16_t*>(factors)[block];
      const float2 super = HalfPairAt(factors + blocks * 2, block / 8);
      scales[0] = super.x * static_cast<float>(bytes & 0xff);
      minimum = -super.y * static_cast<float>(bytes >> 8);
    } else if constexpr (kFormat == WeightFormat::kQ6_K) {
      high = reinterpret_cast<const uint2*>(quants + blocks * 16)[block];
      const uint16_t bytes = reinterpret_cast<const uint16_t*>(factors)[block];
      const float super = HalfAt(factors + blocks * 2, block / 8);
      scales[0] = super * static_cast<float>(static_cast<int8_t>(bytes & 0xff));
      scales[1] = super * static_cast<float>(static_cast<int8_t>(bytes >> 8));
    } else {
      scales[0] = HalfAt(factors, block);
      if constexpr (kFormat == WeightFormat::kQ4_0) minimum = -8.0f * scales[0];
    }
    if constexpr (kFormat != WeightFormat::kQ6_K) scales[1] = scales[0];
  }

  // Words 0–7 of the 32 quants as bytes, input 4w + i in byte i of word w.
  __device__ __forceinline__ void Unpack(uint32_t (&words)[8]) const {
    const uint32_t low[4] = {packed[0].x, packed[0].y, packed[0].z, packed[0].w};
    const uint32_t upper[4] = {packed[1].x, packed[1].y, packed[1].z, packed[1].w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      words[i] = IsNibbles(kFormat) ? low[i] & 0x0f0f0f0fu : low[i];
      words[4 + i] = IsNibbles(kFormat) ? low[i] >> 4 & 0x0f0f0f0fu : upper[i];
      if constexpr (kFormat == WeightFormat::kQ6_K) {
        words[i] = Signed(words[i] | (high.x >> 2 * i & 0x03030303u) << 4);
        words[4 + i] = Signed(words[4 + i] | (high.y >> 2 * i & 0x03030303u) << 4);
      }
    }
  }

 private:
  // Each byte, in [0, 64), minus 32: no byte borrows from the next.
  static __device__ __forceinline__ uint32_t Signed(uint32_t bytes) {
    return ((bytes | 0x80808080u) - 0x20202020u) ^ 0x80808080u;
  }
};

// Eight of the block's weights, as values.
template <WeightFormat kFormat>
__device__ __forceinline__ void WeightsOf(const WeightBlock<kFormat>& block,
                                          const uint32_t (&words)[8], int group,
                                          float (&values)[8]) {
  constexpr bool kSigned = kFormat == WeightFormat::kQ8_0 || kFormat == WeightFormat::kQ6_K;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const uint32_t byte = words[2 * group + i / 4] >> 8 * (i % 4) & 0xff;
    const int quant = kSigned ? static_cast<int8_t>(byte) : static_cast<int>(byte);
    values[i] = fmaf(static_cast<float>(quant), block.scales[group / 2], block.minimum);
  }
}

template <WeightFormat kFormat, int kRows, int kWarps>
__global__ __launch_bounds__(kWarps* kWarpSize) void QuantizedGemvKernel(QuantizedLinear linear) {
  constexpr int kSums = kRows * kOutputs;
  constexpr int kStep = kWarps * kWarpSize;  // blocks
  const QuantizedMatrixCuda& weight = linear.weight;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int output_begin = static_cast<int>(blockIdx.x) * kOutputs;
  const int blocks = weight.inputs / kBlockInputs;

  float sums[kSums] = {};
  for (int begin = warp * kWarpSize + lane; begin < blocks; begin += kStep * kUnroll) {
    WeightBlock<kFormat> loaded[kUnroll][kOutputs];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) {
        const int64_t output = min(output_begin + o, weight.outputs - 1);
        const int block = begin + u * kStep;
        if (block < blocks) loaded[u][o].Load(weight, output, block);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int block = begin + u * kStep;
      if (block >= blocks) break;
      uint32_t quants[kOutputs][8];
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) loaded[u][o].Unpack(quants[o]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int64_t cell = static_cast<int64_t>(min(r, linear.x.rows - 1)) * blocks + block;
        const int8_t* const values = linear.x.values + cell * kBlockInputs;
        const uint4 first = Load16(values);
        const uint4 second = Load16(values + 16);
        const uint32_t x[8] = {first.x,  first.y,  first.z,  first.w,
                               second.x, second.y, second.z, second.w};
        const float2 factors = reinterpret_cast<const float2*>(linear.x.factors)[cell];
#pragma unroll
        for (int o = 0; o < kOutputs; ++o) {
          int dots[2] = {0, 0};
#pragma unroll
          for (int w = 0; w < 8; ++w) {
            int& dot = dots[kFormat == WeightFormat::kQ6_K ? w / 4 : 0];
            dot = __dp4a(static_cast<int>(quants[o][w]), static_cast<int>(x[w]), dot);
          }
          const WeightBlock<kFormat>& from = loaded[u][o];
          float& sum = sums[r * kOutputs + o];
          sum = fmaf(static_cast<float>(dots[0]), from.scales[0] * factors.x, sum);
          if constexpr (kFormat == WeightFormat::kQ6_K) {
            sum = fmaf(static_cast<float>(dots[1]), from.scales[1] * factors.x, sum);
          }
          if constexpr (HasMinimum(kFormat)) sum = fmaf(from.minimum, factors.y, sum);
        }
      }
    }
  }

  const float sum = BlockSumMany<kWarps>(sums);
  const int index = static_cast<int>(threadIdx.x);
  if (index >= kSums) return;
  const int row = index / kOutputs;
  const int output = output_begin + index % kOutputs;
  if (row >= linear.x.rows || output >= weight.outputs) return;
  const int64_t at = linear.OutputAt(row, output);
  if (linear.out_f32 != nullptr) {
    linear.out_f32[at] = sum;
  } else if (linear.type == HalfType::kF16) {
    linear.out[at] = StoreHalf<HalfType::kF16>(sum);
  } else {
    linear.out[at] = StoreHalf<HalfType::kBf16>(sum);
  }
}

template <WeightFormat kFormat, int kRows>
void LaunchRows(const Stream& stream, const QuantizedLinear& linear) {
  const unsigned blocks = static_cast<unsigned>((linear.weight.outputs + kOutputs - 1) / kOutputs);
  // As in gemv.cu: the order of the sum follows from `inputs` alone.
  if (linear.weight.inputs <= 4096) {
    QuantizedGemvKernel<kFormat, kRows, 2><<<blocks, 2 * kWarpSize, 0, stream.handle()>>>(linear);
  } else {
    QuantizedGemvKernel<kFormat, kRows, 4><<<blocks, 4 * kWarpSize, 0, stream.handle()>>>(linear);
  }
}

template <WeightFormat kFormat>
void LaunchFormat(const Stream& stream, const QuantizedLinear& linear) {
  if (linear.x.rows == 1) {
    LaunchRows<kFormat, 1>(stream, linear);
  } else if (linear.x.rows == 2) {
    LaunchRows<kFormat, 2>(stream, linear);
  } else if (linear.x.rows <= 4) {
    LaunchRows<kFormat, 4>(stream, linear);
  } else {
    LaunchRows<kFormat, 8>(stream, linear);
  }
}

// One warp per block of 32 values, a value a lane.
template <HalfType kType>
__global__ __launch_bounds__(kThreads) void QuantizeKernel(const uint16_t* x, QuantizedRowsCuda out,
                                                           int64_t blocks) {
  const int64_t block =
      static_cast<int64_t>(blockIdx.x) * (kThreads / kWarpSize) + threadIdx.x / kWarpSize;
  if (block >= blocks) return;
  const int64_t at = block * kBlockInputs + threadIdx.x % kWarpSize;
  const float value = LoadHalf<kType>(x[at]);
  const bool finite = __all_sync(kAllLanes, isfinite(value));
  const float largest = WarpMax(fabsf(value));
  const bool zero = !finite || largest < kQuantSmallest;
  // Not the approximate division: the values are the CPU's.
  const float inverse = zero ? 0.0f : __fdiv_rn(127.0f, largest);
  const int quant = zero ? 0 : __float2int_rn(value * inverse);
  out.values[at] = static_cast<int8_t>(quant);
  const int sum = __reduce_add_sync(kAllLanes, quant);
  if (threadIdx.x % kWarpSize == 0) {
    const float scale =
        !finite ? __int_as_float(0x7fc00000) : (zero ? 0.0f : __fdiv_rn(largest, 127.0f));
    reinterpret_cast<float2*>(out.factors)[block] = {scale, scale * static_cast<float>(sum)};
  }
}

// One thread per block of 32 weights.
template <WeightFormat kFormat, HalfType kType>
__global__ __launch_bounds__(kThreads) void DequantizeKernel(QuantizedMatrixCuda weight,
                                                             uint16_t* out, int64_t blocks) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= blocks) return;
  WeightBlock<kFormat> block;
  block.Load(weight, index / weight.blocks(), static_cast<int>(index % weight.blocks()));
  uint32_t words[8];
  block.Unpack(words);
  uint4* const to = reinterpret_cast<uint4*>(out + index * kBlockInputs);
#pragma unroll
  for (int group = 0; group < 4; ++group) {
    float values[8];
    WeightsOf(block, words, group, values);
    to[group] = PackEight<kType>(values);
  }
}

// One block of threads per row, a thread per 32 values.
template <WeightFormat kFormat>
__global__ __launch_bounds__(kThreads) void QuantizedEmbeddingKernel(EmbeddingRows rows,
                                                                     QuantizedMatrixCuda table) {
  const int64_t row = blockIdx.x;
  const int64_t token = TokenOf(rows, row);
  const bool known = token >= 0 && token < rows.vocabulary;
  for (int index = static_cast<int>(threadIdx.x); index < table.blocks(); index += kThreads) {
    WeightBlock<kFormat> block;
    uint32_t words[8];
    if (known) {
      block.Load(table, token, index);
      block.Unpack(words);
    }
    float4* const to =
        reinterpret_cast<float4*>(rows.residual + row * rows.columns + index * kBlockInputs);
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      float values[8] = {};
      if (known) WeightsOf(block, words, group, values);
      to[2 * group] = {rows.scale * values[0], rows.scale * values[1], rows.scale * values[2],
                       rows.scale * values[3]};
      to[2 * group + 1] = {rows.scale * values[4], rows.scale * values[5], rows.scale * values[6],
                           rows.scale * values[7]};
    }
  }
}

// A format as a template argument.
template <WeightFormat kFormat>
struct FormatTag {
  static constexpr WeightFormat kValue = kFormat;
};

// Calls `launch` with the tag of `format`.
template <typename Launch>
void WithFormat(WeightFormat format, Launch launch) {
  switch (format) {
    case WeightFormat::kQ4_0:
      return launch(FormatTag<WeightFormat::kQ4_0>());
    case WeightFormat::kQ4_1:
      return launch(FormatTag<WeightFormat::kQ4_1>());
    case WeightFormat::kQ4_K:
      return launch(FormatTag<WeightFormat::kQ4_K>());
    case WeightFormat::kQ6_K:
      return launch(FormatTag<WeightFormat::kQ6_K>());
    default:
      return launch(FormatTag<WeightFormat::kQ8_0>());
  }
}

template <HalfType kType>
void LaunchDequantize(const Stream& stream, const QuantizedMatrixCuda& weight, uint16_t* out) {
  const int64_t blocks = static_cast<int64_t>(weight.outputs) * weight.blocks();
  const auto grid = static_cast<unsigned>((blocks + kThreads - 1) / kThreads);
  WithFormat(weight.format, [&](auto tag) {
    DequantizeKernel<decltype(tag)::kValue, kType>
        <<<grid, kThreads, 0, stream.handle()>>>(weight, out, blocks);
  });
}

}  // namespace

absl::Status QuantizeRowsCuda(const Stream& stream, HalfType type, const uint16_t* x,
                              const QuantizedRowsCuda& out) {
  CHECK(out.columns % kBlockInputs == 0);
  const int64_t blocks = static_cast<int64_t>(out.rows) * (out.columns / kBlockInputs);
  if (blocks == 0) return absl::OkStatus();
  constexpr int kWarpsPerBlock = kThreads / kWarpSize;
  const auto grid = static_cast<unsigned>((blocks + kWarpsPerBlock - 1) / kWarpsPerBlock);
  if (type == HalfType::kF16) {
    QuantizeKernel<HalfType::kF16><<<grid, kThreads, 0, stream.handle()>>>(x, out, blocks);
  } else {
    QuantizeKernel<HalfType::kBf16><<<grid, kThreads, 0, stream.handle()>>>(x, out, blocks);
  }
  return LaunchStatus("quantize_rows", {out.rows, out.columns});
}

absl::Status QuantizedGemvCuda(const Stream& stream, const QuantizedLinear& linear) {
  CHECK(linear.x.rows <= kGemvRowsMax && linear.x.columns == linear.weight.inputs);
  CHECK((linear.out == nullptr) != (linear.out_f32 == nullptr));
  CHECK(IsQuantizedCudaFormat(linear.weight.format));
  if (linear.x.rows == 0) return absl::OkStatus();
  WithFormat(linear.weight.format,
             [&](auto tag) { LaunchFormat<decltype(tag)::kValue>(stream, linear); });
  return LaunchStatus("quantized_gemv",
                      {linear.x.rows, linear.weight.outputs, linear.weight.inputs});
}

absl::Status QuantizedEmbeddingCuda(const Stream& stream, const EmbeddingRows& rows,
                                    const QuantizedMatrixCuda& table) {
  CHECK(IsQuantizedCudaFormat(table.format) && rows.columns == table.inputs);
  if (rows.rows == 0) return absl::OkStatus();
  const auto grid = static_cast<unsigned>(rows.rows);
  WithFormat(table.format, [&](auto tag) {
    QuantizedEmbeddingKernel<decltype(tag)::kValue>
        <<<grid, kThreads, 0, stream.handle()>>>(rows, table);
  });
  return LaunchStatus("quantized_embedding", {rows.rows, rows.columns});
}

absl::Status DequantizeCuda(const Stream& stream, const QuantizedMatrixCuda& weight, HalfType type,
                            uint16_t* out) {
  CHECK(IsQuantizedCudaFormat(weight.format) && weight.inputs % kBlockInputs == 0);
  if (weight.outputs == 0) return absl::OkStatus();
  if (type == HalfType::kF16) {
    LaunchDequantize<HalfType::kF16>(stream, weight, out);
  } else {
    LaunchDequantize<HalfType::kBf16>(stream, weight, out);
  }
  return LaunchStatus("dequantize", {weight.outputs, weight.inputs});
}

}  // namespace spillway
