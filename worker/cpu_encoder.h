#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/device/cpu_isa.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/model_tensor.h"

namespace spillway {

struct CpuEncoderOptions {
  int32_t threads = 0;        // 0: one per core that this process may use
  int32_t tokens_max = 4096;  // of one pass, over all texts; raised to the longest text
  // The kernels to run, for tests; the best of this machine if not set. Results don't depend on it.
  std::optional<CpuIsa> isa = std::nullopt;
};

// An encoder with its weights and threads on the CPU. Owned and called by one thread at a time.
class CpuEncoder {
 public:
  // `tensors` may go when this returns. Errors as EncoderWeights::Load(); RESOURCE_EXHAUSTED: the
  // machine has not enough memory.
  static absl::StatusOr<std::unique_ptr<CpuEncoder>> Make(const EncoderSpec& spec,
                                                          const TensorSource& tensors,
                                                          const CpuEncoderOptions& options);
  ~CpuEncoder();

  const EncoderSpec& spec() const;
  int32_t tokens_max() const;
  const std::string& device_name() const;  // "cpu, 2 threads, avx512_vnni"
  const std::string& numerics_id() const;  // equal ids: equal vectors

  // As Encoder::Forward(), and with its requirements.
  void Encode(std::span<const std::span<const TokenId>> texts, float* vectors);

 private:
  struct Machine;
  explicit CpuEncoder(std::unique_ptr<Machine> machine);
  const std::unique_ptr<Machine> machine_;
};

}  // namespace spillway
