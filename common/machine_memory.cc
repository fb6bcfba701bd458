#include "common/machine_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace spillway {
namespace {

// Addresses that threads' stacks, malloc's arenas and mapped files take without taking memory.
constexpr int64_t kOtherAddressesBytes = int64_t{512} << 20;

// What one version of cgroups calls things.
struct CgroupNames {
  const char* folder;
  const char* limit;
  const char* used;
  const char* inactive_files;
  const char* active_files;
};
constexpr CgroupNames kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                   "memory.usage_in_bytes", "total_inactive_file",
                                   "total_active_file"};
constexpr CgroupNames kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                   "inactive_file", "active_file"};

// The first number in a file that holds nothing else; none where there is no such file, or "max".
std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  int64_t number = 0;
  if (!(file >> word) || !absl::SimpleAtoi(word, &number)) return std::nullopt;
  return number;
}

// The number after `name` in a file of names and numbers; 0 where there is none.
int64_t ReadNamedNumber(const std::string& path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    int64_t number = 0;
    if (words >> word >> number && word == name) return number;
  }
  return 0;
}

// Lowers `memory` to what RLIMIT_AS (ulimit -v) leaves, if it is set.
void LimitByAddresses(const std::string& root, MachineMemory& memory) {
  std::ifstream limits(root + "/proc/self/limits");
  for (std::string line; std::getline(limits, line);) {
    // "Max address space         2097152000           unlimited            bytes"
    std::istringstream words(line);
    std::string max, address, space;
    int64_t limit = 0;
    if (!(words >> max >> address >> space >> limit) || address != "address") continue;
    const int64_t used = ReadNamedNumber(root + "/proc/self/status", "VmSize:") * 1024;
    const int64_t room = std::max<int64_t>(limit - used - kOtherAddressesBytes, 0);
    if (room >= memory.available_bytes) return;
    memory = {.available_bytes = room, .limited_by = "the limit of addresses (ulimit -v)"};
    return;
  }
}

// What a cgroup's folder leaves; none where it sets no limit.
std::optional<int64_t> RoomInCgroup(const std::string& folder, const CgroupNames& names) {
  const std::optional<int64_t> limit = ReadNumber(absl::StrCat(folder, "/", names.limit));
  const std::optional<int64_t> used = ReadNumber(absl::StrCat(folder, "/", names.used));
  if (!limit.has_value() || !used.has_value()) return std::nullopt;
  const std::string stat = folder + "/memory.stat";
  const int64_t caches =
      ReadNamedNumber(stat, names.inactive_files) + ReadNamedNumber(stat, names.active_files);
  return std::max<int64_t>(*limit - std::max<int64_t>(*used - caches, 0), 0);
}

// Lowers `memory` to what the cgroup `path` and those above it leave.
void LimitByCgroups(const std::string& root, const CgroupNames& names, std::string path,
                    MachineMemory& memory) {
  while (true) {
    if (path == "/") path.clear();
    const std::string folder = absl::StrCat(names.folder, path);
    const std::optional<int64_t> room = RoomInCgroup(root + folder, names);
    if (room.has_value() && *room < memory.available_bytes) {
      memory = {.available_bytes = *room, .limited_by = "the cgroup " + folder};
    }
    if (path.empty()) return;
    // In a container the path may be the host's: what is above it is this container's own.
    path.resize(path.rfind('/'));
  }
}

}  // namespace

absl::StatusOr<MachineMemory> ReadMachineMemory(const std::string& root) {
  const int64_t available_kib = ReadNamedNumber(root + "/proc/meminfo", "MemAvailable:");
  if (available_kib <= 0) {
    return absl::UnavailableError("can't read from /proc/meminfo how much memory is available");
  }
  MachineMemory memory = {.available_bytes = available_kib * 1024, .limited_by = "this machine"};
  std::ifstream cgroups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(cgroups, line);) {
    // "4:memory:/path" of version 1, "0::/path" of version 2.
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || parts[2].empty() || parts[2].front() != '/') continue;
    if (parts[0] == "0" && parts[1].empty()) LimitByCgroups(root, kVersion2, parts[2], memory);
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::ranges::find(controllers, "memory") != controllers.end()) {
      LimitByCgroups(root, kVersion1, parts[2], memory);
    }
  }
  LimitByAddresses(root, memory);
  return memory;
}

}  // namespace spillway
