#include "worker/device/cpu_isa.h"

#include <sched.h>

#include <algorithm>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace spillway {
namespace {

constexpr std::string_view kNames[] = {"scalar", "avx2", "avx_vnni", "avx512", "avx512_vnni"};

#if defined(__x86_64__)
// __builtin_cpu_supports of g++ 12 doesn't know AVX-VNNI: CPUID leaf 7, subleaf 1, EAX bit 4.
bool HasAvxVnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1u << 4)) != 0;
}
#endif

}  // namespace

std::string_view CpuIsaName(CpuIsa isa) { return kNames[static_cast<size_t>(isa)]; }

std::optional<CpuIsa> CpuIsaFromName(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<CpuIsa>(found - std::begin(kNames));
}

std::vector<CpuIsa> SupportedCpuIsas() {
  std::vector<CpuIsa> isas = {CpuIsa::kScalar};
#if defined(__x86_64__)
  __builtin_cpu_init();  // __builtin_cpu_supports also asks whether the OS saves the registers
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("f16c")) {
    return isas;
  }
  isas.push_back(CpuIsa::kAvx2);
  if (HasAvxVnni()) isas.push_back(CpuIsa::kAvxVnni);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    isas.push_back(CpuIsa::kAvx512);
    if (__builtin_cpu_supports("avx512vnni")) isas.push_back(CpuIsa::kAvx512Vnni);
  }
#endif
  return isas;
}

int UsableCoreCount() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;  // more cores than the mask holds
  return std::max(1, CPU_COUNT(&cores));
}

}  // namespace spillway
