#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "common/tls/tls_files.h"
#include "worker/cpu_executor.h"
#include "worker/device_choice.h"

namespace spillway {

struct WorkerFlags {
  std::string model;
  std::string model_name;
  std::string listen = "unix:spillway-worker.sock";
  TlsFiles tls;               // all three or none
  std::string tls_authority;  // PEM file
  std::string failure_file;
  bool die_with_parent = false;
  int32_t waiting_max = 1024;
  int32_t step_target_ms = 200;  // 0: none
  int32_t hung_after_s = 60;     // 0: never
  DeviceChoice device;
  GpuMemoryLimit gpu_memory;
  int32_t step_tokens_max = 0;  // 0: what the device likes
  CpuExecutorOptions executor;  // what isn't the CPU's alone holds for GPUs, too
};

// What the command line asks for, or with what to exit: its help, its version and what is wrong
// with it are printed already.
std::variant<WorkerFlags, int> ParseWorkerFlags(int argc, const char* const* argv);

}  // namespace spillway
