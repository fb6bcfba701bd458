#include <vector>

#include "worker/kernels/rms_norm.h"
#include "worker/kernels/rms_norm_cuda.h"

namespace spillway {

void RmsNormRowsReference(const RmsNormRows& rows) {
  const auto columns = static_cast<size_t>(rows.columns);
  std::vector<float> sum(columns), branch(columns), normed(columns);
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t source = rows.sources != nullptr ? rows.sources[row] : row;
    float* const residual = rows.residual + source * rows.columns;
    sum.assign(residual, residual + columns);
    if (rows.delta != nullptr) {
      for (size_t i = 0; i < columns; ++i) {
        branch[i] = ToFloat(rows.type, rows.delta[source * rows.columns + static_cast<int64_t>(i)]);
        if (rows.delta_bias != nullptr) branch[i] += rows.delta_bias[i];
      }
      if (rows.delta_norm != nullptr) {
        RmsNormReference(branch.data(), rows.delta_norm, rows.columns, rows.epsilon, normed.data());
        branch = normed;
      }
      for (size_t i = 0; i < columns; ++i) sum[i] += branch[i];
      if (rows.sources == nullptr) std::copy(sum.begin(), sum.end(), residual);
    }
    RmsNormReference(sum.data(), rows.weight, rows.columns, rows.epsilon, normed.data());
    for (size_t i = 0; i < columns; ++i) {
      rows.out[row * rows.columns + static_cast<int64_t>(i)] = FromFloat(rows.type, normed[i]);
    }
  }
}

}  // namespace spillway
