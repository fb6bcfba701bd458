#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/device/host_buffer.h"
#include "worker/kernels/cpu_kernels.h"

namespace spillway {

// The left side of some matrix products, in the form that their weights ask for: quantised for
// integer formats, f32 for float formats, both where both read it.
//
// Threads may put different rows at the same time.
class Activations {
 public:
  // RESOURCE_EXHAUSTED: no memory. Requires columns to be a multiple of 32 where they are
  // quantised.
  static absl::StatusOr<Activations> Allocate(int32_t rows_max, int32_t columns, bool quantized,
                                              bool floats);

  // Sets row `row` from x, [columns] f32.
  void Put(const CpuKernels& kernels, int64_t row, const float* x);

  MatMulInput Input(int32_t row_count);

  // Where GatedMatMul writes.
  GatedMatMulOutput GatedOutput();

 private:
  HostBuffer quantized_memory_;
  HostBuffer float_memory_;  // [rows, stride] f32
  QuantizedRows quantized_;  // values is nullptr when no one reads it
  int32_t columns_ = 0;
  int64_t stride_ = 0;  // columns in whole pairs of panels, as GatedMatMul writes them
};

}  // namespace spillway
