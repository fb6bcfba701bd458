#pragma once

#include "worker/kernels/cpu_kernels.h"

namespace spillway {

// One per cpu_kernels_*.cc; those but the scalar one exist on x86-64 only.
extern const CpuKernels kScalarKernels;
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvxVnniKernels;
extern const CpuKernels kAvx512Kernels;
extern const CpuKernels kAvx512VnniKernels;

}  // namespace spillway
