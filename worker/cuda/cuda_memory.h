#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/cuda/cuda_decoder.h"
#include "worker/cuda/cuda_dimensions.h"
#include "worker/device/cuda_device.h"
#include "worker/executor.h"
#include "worker/model/model_spec.h"

namespace spillway {

struct CudaMemoryOptions {
  int32_t running_max = 64;
  int32_t step_tokens_max = 2048;
  int32_t sequence_tokens_max = 0;  // 0: the model's context, or as much of it as fits
  int64_t kv_bytes = 0;             // 0: all that is left
  // How full the device may get, all programs counted.
  int64_t limit_bytes = 0;
  std::string limit_source;  // "--gpu-memory 0.9 of 139.8 GiB"
};

// The limits of the decoder that serves these.
CudaDecoderLimits DecoderLimitsFor(const CudaMemoryOptions& options, int32_t sequence_tokens_max);

// What the executor takes beside weights, KV and the decoder: step metadata, sampling.
int64_t CudaStepBytes(const ModelSpec& spec, const CudaMemoryOptions& options,
                      int32_t sequence_tokens_max);

// Before anything is taken: how long sequences may be. As asked; else the model's context, cut to
// what fits if not even one such sequence does, but not below kCudaSequenceTokensLeast.
//
// `used_bytes` of the device are in use. RESOURCE_EXHAUSTED: it doesn't fit: what is needed, what
// there is, how much is missing, and which flag helps.
absl::StatusOr<int32_t> PlanCudaContext(const ModelSpec& spec, const CudaDimensions& dimensions,
                                        int64_t weights_bytes, int64_t used_bytes,
                                        const CudaMemoryOptions& options);

// When all but KV has been taken and the worst step has run: what is left becomes KV, or kv_bytes
// of it, and no more than running_max sequences of full length need. RESOURCE_EXHAUSTED: not enough
// for one sequence, as above.
absl::StatusOr<ExecutorShape> PlanCudaKv(const ModelSpec& spec, const CudaDimensions& dimensions,
                                         int64_t used_bytes, int32_t sequence_tokens_max,
                                         const CudaMemoryOptions& options);

inline constexpr int32_t kCudaSequenceTokensLeast = 2048;

// Kept free: graphs of steps are made while serving.
inline constexpr int64_t kCudaReserveBytes = int64_t{64} << 20;

}  // namespace spillway
