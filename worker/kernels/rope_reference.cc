#include <cmath>

#include "worker/kernels/rope.h"

namespace spillway {

std::vector<float> MakeRopeTable(int32_t positions, const Rope& rope) {
  std::vector<float> table;
  table.reserve(static_cast<size_t>(positions) * 2 * rope.frequencies.size());
  for (int32_t position = 0; position < positions; ++position) {
    for (const double f : rope.frequencies) {
      table.push_back(static_cast<float>(rope.magnitude * std::cos(position * f)));
    }
    for (const double f : rope.frequencies) {
      table.push_back(static_cast<float>(rope.magnitude * std::sin(position * f)));
    }
  }
  return table;
}

void RopeReference(const float* angles, int32_t rope_size, float* x) {
  const int32_t half = rope_size / 2;
  for (int32_t i = 0; i < half; ++i) {
    const double c = angles[i];
    const double s = angles[half + i];
    const double a = x[i];
    const double b = x[i + half];
    x[i] = static_cast<float>(a * c - b * s);
    x[i + half] = static_cast<float>(a * s + b * c);
  }
}

}  // namespace spillway
