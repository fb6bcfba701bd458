#include <immintrin.h>

#include "worker/kernels/cpu_kernels_tables.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kLaneRegisters = 16;
#include "worker/kernels/cpu_kernels_body.inc"
#include "worker/kernels/simd_avx2.inc"

}  // namespace

const CpuKernels kAvxVnniKernels = TableFor(CpuIsa::kAvxVnni);

}  // namespace spillway
