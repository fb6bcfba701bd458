#include "worker/cuda/make_cuda_executor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/quantities.h"
#include "common/status_macros.h"
#include "worker/cuda/cuda_executor.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/device/cublas.h"
#include "worker/device/cuda_device.h"
#include "worker/executor_checks.h"
#include "worker/kernels/gemm_cublaslt.h"
#include "worker/kernels/numerics.h"
#include "worker/model/decoder_tensors.h"

namespace spillway {
namespace {

// Changes with every change of a kernel that changes results.
constexpr int32_t kCudaArithmeticVersion = 1;

// cuBLASLt's products with the library that they come from.
class OwnedCublasLtGemm : public DeviceGemm {
 public:
  static absl::StatusOr<std::unique_ptr<OwnedCublasLtGemm>> Open(const std::string& path) {
    ASSIGN_OR_RETURN(CublasLt cublas, CublasLt::Open(path));
    std::unique_ptr<OwnedCublasLtGemm> owned(new OwnedCublasLtGemm(std::move(cublas)));
    ASSIGN_OR_RETURN(CublasLtGemm gemm, CublasLtGemm::Create(owned->cublas_, {}));
    owned->gemm_ = std::make_unique<CublasLtGemm>(std::move(gemm));
    return owned;
  }

  absl::Status Run(const Stream& stream, const Linear& linear) override {
    return gemm_->Run(stream, linear);
  }
  int64_t version() const { return cublas_.version(); }

 private:
  explicit OwnedCublasLtGemm(CublasLt cublas) : cublas_(std::move(cublas)) {}

  CublasLt cublas_;
  std::unique_ptr<CublasLtGemm> gemm_;
};

absl::StatusOr<CudaDevice> FindDevice(const CudaExecutorOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<CudaDevice> devices, ListCudaDevices());
  if (options.device >= 0 && static_cast<size_t>(options.device) < devices.size()) {
    return devices[static_cast<size_t>(options.device)];
  }
  return absl::NotFoundError(
      absl::StrCat("there is no CUDA device ", options.device, ", only ", devices.size()));
}

CudaMemoryOptions MemoryOptionsOf(const CudaExecutorOptions& options, int64_t total_bytes) {
  CudaMemoryOptions memory = {.running_max = options.running_max,
                              .step_tokens_max = options.step_tokens_max,
                              .sequence_tokens_max = options.sequence_tokens_max,
                              .kv_bytes = options.kv_bytes};
  if (options.memory_bytes > 0) {
    memory.limit_bytes = std::min(options.memory_bytes, total_bytes);
    memory.limit_source = absl::StrCat("--gpu-memory ", FormatBytes(options.memory_bytes));
  } else {
    memory.limit_bytes =
        static_cast<int64_t>(options.memory_share * static_cast<double>(total_bytes));
    memory.limit_source =
        absl::StrCat("--gpu-memory ", options.memory_share, " of ", FormatBytes(total_bytes));
  }
  return memory;
}

absl::StatusOr<int64_t> UsedBytes() {
  ASSIGN_OR_RETURN(const CudaMemory memory, GetCudaMemory());
  return memory.total_bytes - memory.free_bytes;
}

// The largest steps, of prefill and of decode: all that libraries take at their first use is taken
// then. The tokens are nonsense, in KV memory that is thrown away.
absl::Status RunLargestSteps(CudaExecutor& executor, const ExecutorShape& planned) {
  const int32_t each = std::min(planned.step_tokens_max, planned.sequence_tokens_max);
  const int32_t sequences =
      std::min(planned.running_max, (planned.step_tokens_max + each - 1) / each);
  ExecutorShape shape = planned;
  shape.block_count = sequences * ((each + kKvBlockTokens - 1) / kKvBlockTokens);
  RETURN_IF_ERROR(executor.Resize(shape));
  const std::vector<TokenId> tokens(static_cast<size_t>(each));
  std::vector<BlockId> blocks;
  for (int32_t i = 0; i < shape.block_count; ++i) blocks.push_back(BlockId{i});
  const auto blocks_each = static_cast<size_t>(shape.block_count / sequences);
  const SamplingParams params = {.top_p = 0.9f};
  for (const bool decode : {false, true}) {
    std::vector<StepRow> rows;
    int32_t left = planned.step_tokens_max;
    for (int32_t i = 0; i < (decode ? planned.running_max : sequences); ++i) {
      const auto first = static_cast<size_t>(i % sequences) * blocks_each;
      StepRow row;
      row.slice.slot = SlotId{i};
      row.slice.count = decode ? 1 : std::min(each, left);
      row.slice.tokens = std::span(tokens).first(static_cast<size_t>(row.slice.count));
      row.slice.blocks = std::span(blocks).subspan(first, blocks_each);
      row.slice.samples = true;
      row.sampling = &params;
      left -= row.slice.count;
      rows.push_back(row);
    }
    ASSIGN_OR_RETURN(const Ticket ticket, executor.Launch(rows));
    RETURN_IF_ERROR(executor.Collect(ticket).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCuda(const CudaExecutorOptions& options) {
  RETURN_IF_ERROR(FindDevice(options).status());
  return CublasLt::CheckLibrary(options.cublas_path);
}

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const ModelSpec& spec,
                                                           const TensorSource& tensors,
                                                           const CudaExecutorOptions& options) {
  RETURN_IF_ERROR(FindDevice(options).status());
  RETURN_IF_ERROR(UseCudaDevice(options.device));
  ASSIGN_OR_RETURN(std::unique_ptr<OwnedCublasLtGemm> gemm,
                   OwnedCublasLtGemm::Open(options.cublas_path));
  const std::string name = absl::StrCat("cublaslt", gemm->version());
  return MakeCudaExecutorWith(std::move(gemm), name, spec, tensors, options);
}

absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutorWith(std::unique_ptr<DeviceGemm> gemm,
                                                               const std::string& gemm_name,
                                                               const ModelSpec& spec,
                                                               const TensorSource& tensors,
                                                               const CudaExecutorOptions& options) {
  RETURN_IF_ERROR(CheckExecutorLimits(options.running_max, options.step_tokens_max,
                                      options.sequence_tokens_max, spec.context_tokens_max));
  ASSIGN_OR_RETURN(const CudaDevice device, FindDevice(options));
  RETURN_IF_ERROR(UseCudaDevice(options.device));
  ASSIGN_OR_RETURN(const CudaDimensions dimensions, CudaDimensions::For(spec));
  ASSIGN_OR_RETURN(const DecoderTensors found, DecoderTensors::Find(spec, tensors));
  const CudaMemoryOptions memory = MemoryOptionsOf(options, device.memory_bytes);

  ASSIGN_OR_RETURN(const int64_t used_before, UsedBytes());
  ASSIGN_OR_RETURN(const int32_t sequence_tokens_max,
                   PlanCudaContext(spec, dimensions, CudaWeights::BytesFor(spec, found, dimensions),
                                   used_before, memory));
  const CudaDecoderLimits limits = DecoderLimitsFor(memory, sequence_tokens_max);
  auto machine = std::make_unique<CudaMachine>();
  machine->device = options.device;
  machine->spec = spec;
  machine->dimensions = dimensions;
  machine->gemm = std::move(gemm);
  ASSIGN_OR_RETURN(machine->weights, CudaWeights::Load(machine->spec, found, dimensions));
  ASSIGN_OR_RETURN(machine->decoder, CudaDecoder::Make(machine->spec, dimensions, machine->weights,
                                                       limits, *machine->gemm));
  const std::string type = machine->weights.type() == HalfType::kF16 ? "f16" : "bf16";
  CudaExecutor::Names names = {
      .device = absl::StrCat("cuda:", options.device, ", ", device.name, ", ", type),
      .numerics =
          absl::StrCat("cuda-", kCudaArithmeticVersion, "-", tensors.HeaderHash(), "-",
                       absl::StrReplaceAll(device.name, {{" ", "_"}}), "-", gemm_name, "-", type)};
  ASSIGN_OR_RETURN(
      std::unique_ptr<CudaExecutor> executor,
      CudaExecutor::Create(std::move(machine), limits, std::move(names), options.graphs));

  RETURN_IF_ERROR(RunLargestSteps(*executor, {.running_max = options.running_max,
                                              .step_tokens_max = options.step_tokens_max,
                                              .block_tokens = kKvBlockTokens,
                                              .sequence_tokens_max = sequence_tokens_max,
                                              .vocabulary_size = spec.vocabulary_size}));
  RETURN_IF_ERROR(executor->ReleaseCache());
  ASSIGN_OR_RETURN(const int64_t used_after, UsedBytes());
  ASSIGN_OR_RETURN(const ExecutorShape shape,
                   PlanCudaKv(spec, dimensions, used_after, sequence_tokens_max, memory));
  RETURN_IF_ERROR(executor->Resize(shape));
  return executor;
}

}  // namespace spillway
