#include <cmath>

#include "worker/kernels/gated_silu_cuda.h"

namespace spillway {

void GatedSiluReference(const GatedSiluRows& rows) {
  for (int64_t row = 0; row < rows.rows; ++row) {
    const uint16_t* const gates = rows.gate_up + row * 2 * rows.columns;
    const uint16_t* const ups = gates + rows.columns;
    for (int32_t i = 0; i < rows.columns; ++i) {
      const double gate = ToFloat(rows.type, gates[i]);
      const double up = ToFloat(rows.type, ups[i]);
      rows.out[row * rows.columns + i] =
          FromFloat(rows.type, static_cast<float>(gate / (1 + std::exp(-gate)) * up));
    }
  }
}

}  // namespace spillway
