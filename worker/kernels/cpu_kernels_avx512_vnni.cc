#include <immintrin.h>

#include "worker/kernels/cpu_kernels_tables.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kLaneRegisters = 32;
// clang-format off
#include "worker/kernels/simd_avx512.inc"
#include "worker/kernels/cpu_kernels_body.inc"
// clang-format on

}  // namespace

const CpuKernels kAvx512VnniKernels = TableFor(CpuIsa::kAvx512Vnni);

}  // namespace spillway
