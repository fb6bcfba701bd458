// common/machine_memory.h on folders that look like /proc and /sys/fs/cgroup.

#include "common/machine_memory.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/check.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class MachineMemoryTest : public ::testing::Test {
 protected:
  MachineMemoryTest() {
    std::string folder = "/tmp/spillway-memory-XXXXXX";
    CHECK(mkdtemp(folder.data()) != nullptr);
    root_ = folder;
    Write("/proc/meminfo", "MemTotal: 4096000 kB\nMemAvailable:    2048000 kB\nFree: 1 kB\n");
  }
  ~MachineMemoryTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void WriteMiB(const std::string& path, int64_t mib) { Write(path, std::to_string(mib * kMiB)); }
  MachineMemory Read() { return *ReadMachineMemory(root_); }

  std::string root_;
};

TEST_F(MachineMemoryTest, WithoutCgroupsTheMachineIsTheLimit) {
  EXPECT_EQ(Read().available_bytes, 2000 * kMiB);
  EXPECT_EQ(Read().limited_by, "this machine");
}

TEST_F(MachineMemoryTest, ALimitOfAddressesLeavesWhatIsNotInUse) {
  const std::string head = "Limit  Soft Limit  Hard Limit  Units\nMax cpu time  unlimited\n";
  Write("/proc/self/limits", head + "Max address space  unlimited  unlimited  bytes\n");
  Write("/proc/self/status", "Name: x\nVmSize:   102400 kB\n");
  EXPECT_EQ(Read().limited_by, "this machine");
  Write("/proc/self/limits",
        head + "Max address space  " + std::to_string(1000 * kMiB) + "  unlimited  bytes\n");
  EXPECT_EQ(Read().available_bytes, (1000 - 100 - 512) * kMiB);
  EXPECT_EQ(Read().limited_by, "the limit of addresses (ulimit -v)");
  Write("/proc/self/limits", head + "Max address space  1000  unlimited  bytes\n");
  EXPECT_EQ(Read().available_bytes, 0);
}

TEST_F(MachineMemoryTest, AVersion2CgroupLimitsButItsFileCachesDont) {
  Write("/proc/self/cgroup", "0::/pod/worker\n");
  WriteMiB("/sys/fs/cgroup/pod/worker/memory.max", 1000);
  WriteMiB("/sys/fs/cgroup/pod/worker/memory.current", 700);
  Write("/sys/fs/cgroup/pod/worker/memory.stat", "anon 1\ninactive_file " +
                                                     std::to_string(300 * kMiB) + "\nactive_file " +
                                                     std::to_string(100 * kMiB) + "\n");
  EXPECT_EQ(Read().available_bytes, 700 * kMiB);
  EXPECT_EQ(Read().limited_by, "the cgroup /sys/fs/cgroup/pod/worker");
}

TEST_F(MachineMemoryTest, TheTightestOfAllCgroupsAboveCounts) {
  Write("/proc/self/cgroup", "0::/a/b/c\n");
  Write("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
  WriteMiB("/sys/fs/cgroup/a/b/c/memory.current", 10);
  WriteMiB("/sys/fs/cgroup/a/b/memory.max", 900);
  WriteMiB("/sys/fs/cgroup/a/b/memory.current", 10);
  WriteMiB("/sys/fs/cgroup/a/memory.max", 800);
  WriteMiB("/sys/fs/cgroup/a/memory.current", 500);
  EXPECT_EQ(Read().available_bytes, 300 * kMiB);
  EXPECT_EQ(Read().limited_by, "the cgroup /sys/fs/cgroup/a");
}

TEST_F(MachineMemoryTest, AContainerSeesItsOwnCgroupAtTheRoot) {
  Write("/proc/self/cgroup", "0::/\n");
  WriteMiB("/sys/fs/cgroup/memory.max", 512);
  WriteMiB("/sys/fs/cgroup/memory.current", 12);
  EXPECT_EQ(Read().available_bytes, 500 * kMiB);
}

TEST_F(MachineMemoryTest, AVersion1CgroupLimits) {
  Write("/proc/self/cgroup", "5:cpu,memory:/docker/id\n0::/\n");
  WriteMiB("/sys/fs/cgroup/memory/memory.limit_in_bytes", 600);
  WriteMiB("/sys/fs/cgroup/memory/memory.usage_in_bytes", 250);
  Write("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\ntotal_inactive_file " + std::to_string(50 * kMiB) + "\n");
  EXPECT_EQ(Read().available_bytes, 400 * kMiB);
}

TEST_F(MachineMemoryTest, ALimitBeyondTheMachineIsNone) {
  Write("/proc/self/cgroup", "5:memory:/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  WriteMiB("/sys/fs/cgroup/memory/memory.usage_in_bytes", 250);
  EXPECT_EQ(Read().limited_by, "this machine");
}

TEST_F(MachineMemoryTest, ACgroupOverItsLimitLeavesNothing) {
  Write("/proc/self/cgroup", "0::/x\n");
  WriteMiB("/sys/fs/cgroup/x/memory.max", 100);
  WriteMiB("/sys/fs/cgroup/x/memory.current", 120);
  EXPECT_EQ(Read().available_bytes, 0);
}

TEST_F(MachineMemoryTest, WhatIsNoCgroupIsNoLimit) {
  Write("/proc/self/cgroup", "nonsense\n0:\n::\n0::relative\n7:memory:\n");
  EXPECT_EQ(Read().limited_by, "this machine");
}

TEST_F(MachineMemoryTest, AMachineThatDoesntTellIsAnError) {
  Write("/proc/meminfo", "MemTotal: 1 kB\n");
  EXPECT_EQ(ReadMachineMemory(root_).status().code(), absl::StatusCode::kUnavailable);
}

TEST(ReadMachineMemoryTest, KnowsThisMachine) {
  const absl::StatusOr<MachineMemory> memory = ReadMachineMemory();
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_GT(memory->available_bytes, 1 << 20);
}

}  // namespace
}  // namespace spillway
