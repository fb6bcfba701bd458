#include "worker/cpu_encoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/numerics.h"
#include "worker/model/encoder.h"
#include "worker/model/encoder_weights.h"

namespace spillway {

struct CpuEncoder::Machine {
  Machine(const EncoderSpec& encoder_spec, int32_t threads) : spec(encoder_spec), team(threads) {}

  const EncoderSpec spec;
  ThreadTeam team;
  EncoderWeights weights;
  std::unique_ptr<Encoder> encoder;
  int32_t tokens_max = 0;
  std::string device_name;
  std::string numerics_id;
};

CpuEncoder::CpuEncoder(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}
CpuEncoder::~CpuEncoder() = default;

absl::StatusOr<std::unique_ptr<CpuEncoder>> CpuEncoder::Make(const EncoderSpec& spec,
                                                             const TensorSource& tensors,
                                                             const CpuEncoderOptions& options) {
  const CpuIsa isa = options.isa.value_or(SupportedCpuIsas().back());
  const int32_t threads = options.threads > 0 ? options.threads : UsableCoreCount();
  auto machine = std::make_unique<Machine>(spec, threads);
  machine->tokens_max = std::max(options.tokens_max, spec.text_tokens_max);
  ASSIGN_OR_RETURN(machine->weights, EncoderWeights::Load(machine->spec, tensors, machine->team));
  ASSIGN_OR_RETURN(machine->encoder,
                   Encoder::Make(machine->spec, machine->weights, machine->tokens_max,
                                 machine->team, CpuKernelsFor(isa)));
  machine->device_name = absl::StrCat("cpu, ", threads, threads == 1 ? " thread, " : " threads, ",
                                      std::string(CpuIsaName(isa)));
  // The instruction set is no part of the id: all give the same bits.
  machine->numerics_id = absl::StrCat("cpu-", kArithmeticVersion, "-", tensors.HeaderHash());
  return std::unique_ptr<CpuEncoder>(new CpuEncoder(std::move(machine)));
}

const EncoderSpec& CpuEncoder::spec() const { return machine_->spec; }
int32_t CpuEncoder::tokens_max() const { return machine_->tokens_max; }
const std::string& CpuEncoder::device_name() const { return machine_->device_name; }
const std::string& CpuEncoder::numerics_id() const { return machine_->numerics_id; }

void CpuEncoder::Encode(std::span<const std::span<const TokenId>> texts, float* vectors) {
  machine_->encoder->Forward(texts, vectors);
}

}  // namespace spillway
