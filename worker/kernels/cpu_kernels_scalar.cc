
#include "worker/kernels/cpu_kernels_tables.h"
#include "worker/kernels/half.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kLaneRegisters = 0;  // lanes are arrays
// clang-format off
#include "worker/kernels/simd_scalar.inc"
#include "worker/kernels/cpu_kernels_body.inc"
// clang-format on

}  // namespace

const CpuKernels kScalarKernels = TableFor(CpuIsa::kScalar);

}  // namespace spillway
