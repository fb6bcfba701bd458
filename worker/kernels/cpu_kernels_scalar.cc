
#include "worker/kernels/cpu_kernels_tables.h"
#include "worker/kernels/half.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kLaneRegisters = 16;
#include "worker/kernels/cpu_kernels_body.inc"
#include "worker/kernels/simd_scalar.inc"

}  // namespace

const CpuKernels kScalarKernels = TableFor(CpuIsa::kScalar);

}  // namespace spillway
