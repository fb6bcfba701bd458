#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/executor.h"
#include "worker/model/model_spec.h"

namespace spillway {

// What decides how much memory a model takes on the CPU.
struct CpuMemoryOptions {
  int32_t threads = 1;
  int32_t running_max = 64;
  int32_t step_tokens_max = 512;
  int32_t sequence_tokens_max = 0;  // 0: the model's context, or as much of it as fits
  int64_t kv_bytes = 0;             // 0: a share of what is left
  int64_t memory_bytes = 0;         // that all may take together; 0: no limit is known
  std::string memory_source;        // whose limit that is: "this machine", "--memory"
};

// What a model takes of the memory. Its weights in the files are not part of it: they are mapped,
// and the kernel takes them back once they are packed.
struct CpuMemoryNeeds {
  int64_t weights_bytes = 0;      // packed
  int64_t activations_bytes = 0;  // of the largest step, and scratch
  int64_t process_bytes = 0;      // the rest: program, vocabulary, connections
  int64_t block_bytes = 0;        // of one KV block
};

CpuMemoryNeeds CpuMemoryNeedsOf(const ModelSpec& spec, int64_t weights_bytes,
                                const CpuMemoryOptions& options, int32_t sequence_tokens_max);

// How the memory is used, decided before any of it is taken: the result's block_count, kv_bytes and
// sequence_tokens_max.
//
// KV memory gets kv_bytes; else 80 % of what weights, activations and process leave, and no more
// than running_max sequences of full length need. Where not even one sequence of the model's
// context fits, the context is cut to what does, but not below kSequenceTokensLeast, nor one that
// was asked for. Requires positive options.
//
// RESOURCE_EXHAUSTED: it doesn't fit: what is needed, what there is, how much is missing, and what
// helps.
absl::StatusOr<ExecutorShape> PlanCpuMemory(const ModelSpec& spec, int64_t weights_bytes,
                                            const CpuMemoryOptions& options);

inline constexpr int32_t kSequenceTokensLeast = 2048;

}  // namespace spillway
