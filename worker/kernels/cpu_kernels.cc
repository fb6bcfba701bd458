#include "worker/kernels/cpu_kernels.h"

#include "common/check.h"
#include "worker/kernels/cpu_kernels_tables.h"

namespace spillway {

const CpuKernels& CpuKernelsFor(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kScalar:
      return kScalarKernels;
#if defined(__x86_64__)
    case CpuIsa::kAvx2:
      return kAvx2Kernels;
    case CpuIsa::kAvxVnni:
      return kAvxVnniKernels;
    case CpuIsa::kAvx512:
      return kAvx512Kernels;
    case CpuIsa::kAvx512Vnni:
      return kAvx512VnniKernels;
#else
    default:
      break;
#endif
  }
  CHECK(false);
}

}  // namespace spillway
