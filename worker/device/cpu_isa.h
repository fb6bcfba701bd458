#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace spillway {

// The instruction sets that the CPU kernels are compiled for, slowest first. Each one needs all
// that its name says: avx512 is F+BW+DQ+VL.
enum class CpuIsa { kScalar, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni };

std::string_view CpuIsaName(CpuIsa isa);  // "avx512_vnni"
std::optional<CpuIsa> CpuIsaFromName(std::string_view name);

// Those that this machine and operating system can run, slowest first. Never empty.
std::vector<CpuIsa> SupportedCpuIsas();

// How many cores this process may use: its affinity mask, not what the machine has. At least 1.
int UsableCoreCount();

}  // namespace spillway
