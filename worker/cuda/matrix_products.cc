#include "worker/cuda/matrix_products.h"

#include <algorithm>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/cuda/cuda_dimensions.h"
#include "worker/kernels/linear_cuda.h"

namespace spillway {
namespace {

// Large enough that a product of a part keeps the device busy, small beside any model.
constexpr int64_t kDequantizedValues = int64_t{32} << 20;
constexpr int32_t kQuantBlockInputs = 32;

int64_t RoundUp(int64_t value) { return (value + 255) / 256 * 256; }
int64_t ValueBytes(int32_t inputs_max) { return RoundUp(int64_t{kGemvRowsMax} * inputs_max); }
int64_t FactorBytes(int32_t inputs_max) {
  const int64_t blocks = (inputs_max + kQuantBlockInputs - 1) / kQuantBlockInputs;
  return RoundUp(kGemvRowsMax * blocks * 2 * static_cast<int64_t>(sizeof(float)));
}

}  // namespace

// The rows of one product, as its parts see them.
struct MatrixProducts::Rows {
  int32_t count = 0;
  const uint16_t* x = nullptr;
  uint16_t* out = nullptr;
  float* out_f32 = nullptr;
  int32_t out_stride = 0;

  Rows From(int32_t output) const {
    Rows rows = *this;
    if (rows.out != nullptr) rows.out += output;
    if (rows.out_f32 != nullptr) rows.out_f32 += output;
    return rows;
  }
};

int64_t MatrixProducts::ScratchBytes(int32_t inputs_max) {
  return ValueBytes(inputs_max) + FactorBytes(inputs_max) +
         kDequantizedValues * static_cast<int64_t>(sizeof(uint16_t));
}

MatrixProducts::MatrixProducts(DeviceGemm& gemm, HalfType type, int32_t inputs_max,
                               std::byte* scratch)
    : gemm_(gemm),
      type_(type),
      quantized_values_(reinterpret_cast<int8_t*>(scratch)),
      quantized_factors_(reinterpret_cast<float*>(scratch + ValueBytes(inputs_max))),
      dequantized_(reinterpret_cast<uint16_t*>(scratch + ValueBytes(inputs_max) +
                                               FactorBytes(inputs_max))) {}

absl::Status MatrixProducts::Run(const Stream& stream, const CudaMatrixGroup& weights,
                                 const uint16_t* x, int32_t rows, uint16_t* out, float* out_f32) {
  if (rows == 0) return absl::OkStatus();
  const Rows all = {.count = ProductRows(rows),
                    .x = x,
                    .out = out,
                    .out_f32 = out_f32,
                    .out_stride = weights.outputs};
  const bool any_quantized = std::ranges::any_of(
      weights.parts, [](const auto& part) { return part.matrix.halves == nullptr; });
  if (any_quantized && all.count <= kGemvRowsMax) {
    RETURN_IF_ERROR(QuantizeRowsCuda(stream, type_, x,
                                     {.rows = all.count,
                                      .columns = weights.inputs,
                                      .values = quantized_values_,
                                      .factors = quantized_factors_}));
  }
  for (const CudaMatrixGroup::Part& part : weights.parts) {
    RETURN_IF_ERROR(RunPart(stream, part.matrix, all.From(part.first_output)));
  }
  return absl::OkStatus();
}

absl::Status MatrixProducts::RunPart(const Stream& stream, const CudaMatrix& matrix,
                                     const Rows& rows) {
  const bool few = rows.count <= kGemvRowsMax;
  if (matrix.halves != nullptr) {
    const Linear linear = {.rows = rows.count,
                           .outputs = matrix.outputs,
                           .inputs = matrix.inputs,
                           .type = type_,
                           .x = rows.x,
                           .weight = matrix.halves,
                           .out = rows.out,
                           .out_f32 = rows.out_f32,
                           .out_stride = rows.out_stride};
    return few ? GemvCuda(stream, linear) : gemm_.Run(stream, linear);
  }
  if (!few) return RunDequantized(stream, matrix.quantized, rows);
  return QuantizedGemvCuda(stream, {.weight = matrix.quantized,
                                    .x = {.rows = rows.count,
                                          .columns = matrix.inputs,
                                          .values = quantized_values_,
                                          .factors = quantized_factors_},
                                    .type = type_,
                                    .out = rows.out,
                                    .out_f32 = rows.out_f32,
                                    .out_stride = rows.out_stride});
}

absl::Status MatrixProducts::RunDequantized(const Stream& stream, const QuantizedMatrixCuda& matrix,
                                            const Rows& rows) {
  const auto outputs_at_once = static_cast<int32_t>(kDequantizedValues / matrix.inputs / 8 * 8);
  CHECK(outputs_at_once > 0);
  for (int32_t first = 0; first < matrix.outputs; first += outputs_at_once) {
    const int32_t count = std::min(outputs_at_once, matrix.outputs - first);
    RETURN_IF_ERROR(DequantizeCuda(stream, matrix.Rows(first, count), type_, dequantized_));
    const Rows part = rows.From(first);
    RETURN_IF_ERROR(gemm_.Run(stream, {.rows = part.count,
                                       .outputs = count,
                                       .inputs = matrix.inputs,
                                       .type = type_,
                                       .x = part.x,
                                       .weight = dequantized_,
                                       .out = part.out,
                                       .out_f32 = part.out_f32,
                                       .out_stride = part.out_stride}));
  }
  return absl::OkStatus();
}

}  // namespace spillway
