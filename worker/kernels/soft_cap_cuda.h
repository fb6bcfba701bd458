#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/device/stream.h"

namespace spillway {

// x[i] = cap * tanh(x[i] / cap) in place, for `count` f32 values (activation.h): logits of Gemma.
// Requires cap > 0. x is a device pointer.
absl::Status SoftCapCuda(const Stream& stream, float cap, int64_t count, float* x);

// The oracle, over a host pointer.
void SoftCapReference(float cap, int64_t count, float* x);

}  // namespace spillway
