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

// Words 0–7 of the block's 32 quants as bytes, input 4w + i in byte i of word w.
template <WeightFormat kFormat>
__device__ __forceinline__ void UnpackQuants(const uint4 (&packed)[2], uint32_t (&words)[8]) {
  const uint32_t low[4] = {packed[0].x, packed[0].y, packed[0].z, packed[0].w};
  const uint32_t high[4] = {packed[1].x, packed[1].y, packed[1].z, packed[1].w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    words[i] = IsNibbles(kFormat) ? low[i] & 0x0f0f0f0fu : low[i];
    words[4 + i] = IsNibbles(kFormat) ? low[i] >> 4 & 0x0f0f0f0fu : high[i];
  }
}

template <WeightFormat kFormat>
struct WeightBlock {
  uint4 packed[2];  // of nibbles the first only
  float scale;
  float minimum;

  __device__ __forceinline__ void Load(const QuantizedMatrixCuda& weight, int64_t block) {
    constexpr int kBytes = IsNibbles(kFormat) ? 16 : 32;
    packed[0] = LoadStreaming16(weight.quants + block * kBytes);
    if constexpr (!IsNibbles(kFormat)) {
      packed[1] = LoadStreaming16(weight.quants + block * kBytes + 16);
    } else {
      packed[1] = {};
    }
    if constexpr (kFormat == WeightFormat::kQ4_1) {
      const float2 factors =
          UnpackPair<HalfType::kF16>(reinterpret_cast<const uint32_t*>(weight.factors)[block]);
      scale = factors.x;
      minimum = factors.y;
    } else {
      scale = LoadHalf<HalfType::kF16>(weight.factors[block]);
      minimum = kFormat == WeightFormat::kQ4_0 ? -8.0f * scale : 0.0f;
    }
  }
};

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
        if (block < blocks) loaded[u][o].Load(weight, output * blocks + block);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int block = begin + u * kStep;
      if (block >= blocks) break;
      uint32_t quants[kOutputs][8];
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) UnpackQuants<kFormat>(loaded[u][o].packed, quants[o]);
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
          int dot = 0;
#pragma unroll
          for (int w = 0; w < 8; ++w) {
            dot = __dp4a(static_cast<int>(quants[o][w]), static_cast<int>(x[w]), dot);
          }
          float& sum = sums[r * kOutputs + o];
          sum = fmaf(static_cast<float>(dot), loaded[u][o].scale * factors.x, sum);
          if constexpr (IsNibbles(kFormat)) sum = fmaf(loaded[u][o].minimum, factors.y, sum);
        }
      }
    }
  }

  __shared__ float shared[kWarps][kSums];
  WarpSumMany<kSums>(sums);
  constexpr int kLanesPerSum = kWarpSize / kSums;
  if (lane % kLanesPerSum == 0) shared[warp][lane / kLanesPerSum] = sums[0];
  __syncthreads();
  const int index = static_cast<int>(threadIdx.x);
  if (index >= kSums) return;
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) sum += shared[w][index];
  const int row = index / kOutputs;
  const int output = output_begin + index % kOutputs;
  if (row >= linear.x.rows || output >= weight.outputs) return;
  const int64_t at = static_cast<int64_t>(row) * weight.outputs + output;
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
  block.Load(weight, index);
  uint32_t words[8];
  UnpackQuants<kFormat>(block.packed, words);
  uint4* const to = reinterpret_cast<uint4*>(out + index * kBlockInputs);
#pragma unroll
  for (int group = 0; group < 4; ++group) {
    float values[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t byte = words[2 * group + i / 4] >> 8 * (i % 4) & 0xff;
      const int quant = IsNibbles(kFormat) ? static_cast<int>(byte) : static_cast<int8_t>(byte);
      values[i] = fmaf(static_cast<float>(quant), block.scale, block.minimum);
    }
    to[group] = PackEight<kType>(values);
  }
}

template <HalfType kType>
void LaunchDequantize(const Stream& stream, const QuantizedMatrixCuda& weight, uint16_t* out) {
  const int64_t blocks = static_cast<int64_t>(weight.outputs) * weight.blocks();
  const auto grid = static_cast<unsigned>((blocks + kThreads - 1) / kThreads);
  if (weight.format == WeightFormat::kQ4_0) {
    DequantizeKernel<WeightFormat::kQ4_0, kType>
        <<<grid, kThreads, 0, stream.handle()>>>(weight, out, blocks);
  } else if (weight.format == WeightFormat::kQ4_1) {
    DequantizeKernel<WeightFormat::kQ4_1, kType>
        <<<grid, kThreads, 0, stream.handle()>>>(weight, out, blocks);
  } else {
    DequantizeKernel<WeightFormat::kQ8_0, kType>
        <<<grid, kThreads, 0, stream.handle()>>>(weight, out, blocks);
  }
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
  if (linear.weight.format == WeightFormat::kQ4_0) {
    LaunchFormat<WeightFormat::kQ4_0>(stream, linear);
  } else if (linear.weight.format == WeightFormat::kQ4_1) {
    LaunchFormat<WeightFormat::kQ4_1>(stream, linear);
  } else {
    LaunchFormat<WeightFormat::kQ8_0>(stream, linear);
  }
  return LaunchStatus("quantized_gemv",
                      {linear.x.rows, linear.weight.outputs, linear.weight.inputs});
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
