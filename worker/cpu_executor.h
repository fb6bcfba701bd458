#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/device/cpu_isa.h"
#include "worker/executor.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

struct CpuExecutorOptions {
  int32_t threads = 0;  // 0: one per core that this process may use
  int32_t running_max = 64;
  int32_t step_tokens_max = 512;
  int32_t block_tokens = 16;
  int32_t block_count = 0;          // KV blocks, for tests; 0: as cpu_memory.h says
  int64_t kv_bytes = 0;             // 0: sized by what the memory leaves
  int64_t memory_bytes = 0;         // that this worker may take; 0: no limit is known
  std::string memory_source;        // whose limit that is, for messages
  int32_t sequence_tokens_max = 0;  // 0: the model's context, or as much of it as fits
  // The kernels to run, for tests; the best of this machine if not set. Results don't depend on it.
  std::optional<CpuIsa> isa = std::nullopt;
};

// Loads a model onto the CPU: repacks the weights once, starts the thread team and the executor
// thread. `tensors` may go when this returns. INVALID_ARGUMENT: a tensor is missing or of the wrong
// shape or type, by name; an option that the model or the kernels rule out. UNIMPLEMENTED: a tensor
// type or shape that the kernels lack. RESOURCE_EXHAUSTED: it doesn't fit into the memory, found
// out before any is taken (cpu_memory.h).
absl::StatusOr<std::unique_ptr<Executor>> MakeCpuExecutor(const ModelSpec& spec,
                                                          const TensorSource& tensors,
                                                          const CpuExecutorOptions& options);

}  // namespace spillway
