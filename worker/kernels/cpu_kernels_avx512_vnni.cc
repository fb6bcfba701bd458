#include <immintrin.h>

#include "worker/kernels/cpu_kernels_tables.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kLaneRegisters = 32;
#include "worker/kernels/cpu_kernels_body.inc"
#include "worker/kernels/simd_avx512.inc"

}  // namespace

const CpuKernels kAvx512VnniKernels = TableFor(CpuIsa::kAvx512Vnni);

}  // namespace spillway
