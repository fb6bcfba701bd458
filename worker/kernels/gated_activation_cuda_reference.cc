#include <cmath>

#include "worker/kernels/gated_activation_cuda.h"

namespace spillway {
namespace {

double Activate(GateActivation activation, double x) {
  if (activation == GateActivation::kSilu) return x / (1 + std::exp(-x));
  return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

}  // namespace

void GatedActivationReference(const GatedRows& rows) {
  for (int64_t row = 0; row < rows.rows; ++row) {
    const uint16_t* const gates = rows.gate_up + row * 2 * rows.columns;
    const auto value_at = [&](int32_t i) {
      return double{ToFloat(rows.type, gates[i])} + (rows.bias != nullptr ? rows.bias[i] : 0.0f);
    };
    for (int32_t i = 0; i < rows.columns; ++i) {
      const double value = Activate(rows.activation, value_at(i)) * value_at(rows.columns + i);
      rows.out[row * rows.columns + i] = FromFloat(rows.type, static_cast<float>(value));
    }
  }
}

}  // namespace spillway
