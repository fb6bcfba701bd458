#include <cmath>

#include "worker/kernels/rope.h"

namespace spillway {

void RopeAngles(const Rope& rope, int32_t position, float* angles) {
  const size_t half = rope.frequencies.size();
  for (size_t i = 0; i < half; ++i) {
    const double angle = position * rope.frequencies[i];
    angles[i] = static_cast<float>(rope.magnitude * std::cos(angle));
    angles[half + i] = static_cast<float>(rope.magnitude * std::sin(angle));
  }
}

std::vector<float> MakeRopeTable(int32_t positions, const Rope& rope) {
  const size_t stride = 2 * rope.frequencies.size();
  std::vector<float> table(static_cast<size_t>(positions) * stride);
  for (int32_t position = 0; position < positions; ++position) {
    RopeAngles(rope, position, table.data() + static_cast<size_t>(position) * stride);
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
