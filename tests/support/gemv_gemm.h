#pragma once

#include <algorithm>

#include "common/status_macros.h"
#include "worker/kernels/linear_cuda.h"

namespace spillway {

// Products by our own GEMV, a few rows at a time: slow, right, and the same wherever there is a
// device, with cuBLASLt or without.
class GemvGemm : public DeviceGemm {
 public:
  absl::Status Run(const Stream& stream, const Linear& linear) override {
    for (int32_t first = 0; first < linear.rows; first += kGemvRowsMax) {
      Linear part = linear;
      part.rows = std::min(kGemvRowsMax, linear.rows - first);
      part.x += int64_t{first} * linear.inputs;
      if (part.out != nullptr) part.out += linear.OutputAt(first, 0);
      if (part.out_f32 != nullptr) part.out_f32 += linear.OutputAt(first, 0);
      RETURN_IF_ERROR(GemvCuda(stream, part));
    }
    return absl::OkStatus();
  }
};

}  // namespace spillway
