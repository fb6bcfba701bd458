#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace spillway {

// How much memory a process may still take before the kernel ends it, or others, for want of it.
struct MachineMemory {
  int64_t available_bytes = 0;
  std::string limited_by;  // "this machine", "the cgroup /sys/fs/cgroup/…", …
};

// What the machine has available (MemAvailable, which counts caches of files as free), or less,
// where this process's cgroup or one above it has a limit: that limit, without what is in use there
// but for caches of files. Knows cgroups of version 1 and 2; swap doesn't count. Also less where
// the process may not have so many addresses (ulimit -v).
//
// `root` is put before all paths, for tests. UNAVAILABLE: /proc/meminfo can't be read.
absl::StatusOr<MachineMemory> ReadMachineMemory(const std::string& root = "");

}  // namespace spillway
