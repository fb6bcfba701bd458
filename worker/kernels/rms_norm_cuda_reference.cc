#include <vector>

#include "worker/kernels/rms_norm.h"
#include "worker/kernels/rms_norm_cuda.h"

namespace spillway {

void RmsNormRowsReference(const RmsNormRows& rows) {
  std::vector<float> normed(static_cast<size_t>(rows.columns));
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t begin = row * rows.columns;
    float* const residual = rows.residual + begin;
    if (rows.delta != nullptr) {
      for (int32_t i = 0; i < rows.columns; ++i) {
        residual[i] += ToFloat(rows.type, rows.delta[begin + i]);
      }
    }
    RmsNormReference(residual, rows.weight, rows.columns, rows.epsilon, normed.data());
    for (int32_t i = 0; i < rows.columns; ++i) {
      rows.out[begin + i] = FromFloat(rows.type, normed[static_cast<size_t>(i)]);
    }
  }
}

}  // namespace spillway
