#include "worker/loaded_model.h"

#include <algorithm>
#include <future>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/machine_memory.h"
#include "common/status_macros.h"
#include "worker/cpu_executor.h"
#include "worker/cuda/make_cuda_executor.h"
#include "worker/model/model_files.h"

namespace spillway {
namespace {

absl::StatusOr<ChatTemplates> ReadChatTemplates(const DecoderFiles& files,
                                                const TokenizerSpec& tokenizer) {
  ASSIGN_OR_RETURN(const ChatTemplateFiles found, files.ReadChatTemplates(tokenizer));
  ASSIGN_OR_RETURN(ChatTemplates templates, ParseChatTemplates(found.templates, found.tokens));
  if (!found.templates.empty() && templates.usual == nullptr) {
    LogWarning(absl::StrCat("none of the model's ", found.templates.size(),
                            " chat templates is called default; chats ",
                            templates.empty() ? "" : "without tools ", "are refused"));
  }
  return templates;
}

CudaExecutorOptions CudaOptionsOf(const WorkerFlags& flags) {
  CudaExecutorOptions options = {.device = flags.device.cuda_index,
                                 .running_max = flags.executor.running_max,
                                 .sequence_tokens_max = flags.executor.sequence_tokens_max,
                                 .kv_bytes = flags.executor.kv_bytes,
                                 .memory_share = flags.gpu_memory.share,
                                 .memory_bytes = flags.gpu_memory.bytes};
  if (flags.step_tokens_max > 0) options.step_tokens_max = flags.step_tokens_max;
  return options;
}

// On a GPU, where the flags want one or leave it open and there is one; else on the CPU.
absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const DecoderFiles& files,
                                                       const WorkerFlags& flags) {
  using Kind = DeviceChoice::Kind;
  if (flags.device.kind != Kind::kCpu) {
    const CudaExecutorOptions options = CudaOptionsOf(flags);
    const absl::Status usable = CheckCuda(options);
    if (usable.ok()) return MakeCudaExecutor(files.spec(), files.tensors(), options);
    if (flags.device.kind == Kind::kCuda) {
      return absl::Status(usable.code(), absl::StrCat("--device cuda: ", usable.message()));
    }
    // A build without CUDA has nothing to tell.
    if (absl::IsNotFound(usable)) {
      LogInfo(absl::StrCat("running on the CPU: ", usable.message()));
    }
  }
  CpuExecutorOptions options = flags.executor;
  if (flags.step_tokens_max > 0) options.step_tokens_max = flags.step_tokens_max;
  return MakeCpuExecutor(files.spec(), files.tensors(), options);
}

// The tokenizer and what else is text, from the same files.
absl::Status LoadText(const DecoderFiles& files, LoadedDecoder& decoder) {
  ASSIGN_OR_RETURN(TokenizerSpec spec, files.ReadTokenizer());
  ASSIGN_OR_RETURN(decoder.chat_templates, ReadChatTemplates(files, spec));
  ASSIGN_OR_RETURN(decoder.sampling_defaults, files.ReadSamplingDefaults());
  ASSIGN_OR_RETURN(decoder.tokenizer, Tokenizer::Create(std::move(spec)));
  return absl::OkStatus();
}

absl::StatusOr<LoadedDecoder> LoadDecoder(const DecoderFiles& files, const WorkerFlags& flags) {
  LoadedDecoder decoder;
  decoder.name = flags.model_name;
  decoder.architecture = files.spec().architecture;
  decoder.hash = files.tensors().HeaderHash();
  decoder.context_tokens_max = files.spec().context_tokens_max;
  // The weights are brought where they run by other threads; the vocabulary meanwhile by this one.
  auto executor = std::async(std::launch::async, [&] { return MakeExecutor(files, flags); });
  const absl::Status text = LoadText(files, decoder);
  absl::StatusOr<std::unique_ptr<Executor>> made = executor.get();
  RETURN_IF_ERROR(text);
  RETURN_IF_ERROR(made.status());
  decoder.executor = *std::move(made);
  return decoder;
}

absl::StatusOr<LoadedEncoder> LoadEncoder(const EncoderFiles& files, const WorkerFlags& flags) {
  LoadedEncoder encoder;
  encoder.name = flags.model_name;
  encoder.hash = files.tensors().HeaderHash();
  if (flags.device.kind == DeviceChoice::Kind::kCuda) {
    return absl::UnimplementedError("--device cuda: embedding models run on the CPU only");
  }
  ASSIGN_OR_RETURN(encoder.encoder, CpuEncoder::Make(files.spec(), files.tensors(),
                                                     {.threads = flags.executor.threads}));
  ASSIGN_OR_RETURN(TokenizerSpec spec, files.ReadTokenizer());
  const std::vector<TokenId> prefix = spec.prefix;
  const std::vector<TokenId> suffix = spec.suffix;
  const int32_t text_tokens_max = files.spec().text_tokens_max;
  if (prefix.size() + suffix.size() >= static_cast<size_t>(text_tokens_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tokenizer puts ", prefix.size() + suffix.size(),
                     " tokens around a text, and the longest text has ", text_tokens_max));
  }
  ASSIGN_OR_RETURN(encoder.tokenizer, Tokenizer::Create(std::move(spec)));
  encoder.texts =
      std::make_unique<EmbeddingTokenizer>(*encoder.tokenizer, prefix, suffix, text_tokens_max);
  return encoder;
}

// Fills in what this process may take where no flag says it.
void FindMemory(CpuExecutorOptions& options) {
  if (options.memory_bytes > 0) {
    options.memory_source = "--memory";
    return;
  }
  const absl::StatusOr<MachineMemory> memory = ReadMachineMemory();
  if (!memory.ok()) {
    LogWarning(absl::StrCat(memory.status().message(), "; --memory says it"));
    return;
  }
  options.memory_bytes = std::max<int64_t>(memory->available_bytes, 1);
  options.memory_source = memory->limited_by;
}

absl::StatusOr<LoadedModel> LoadOpened(const WorkerFlags& flags) {
  ASSIGN_OR_RETURN(const ModelFiles files, OpenModelFiles(flags.model));
  if (files.decoder != nullptr) return LoadDecoder(*files.decoder, flags);
  return LoadEncoder(*files.encoder, flags);
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const WorkerFlags& flags) {
  WorkerFlags found = flags;
  FindMemory(found.executor);
  absl::StatusOr<LoadedModel> model = LoadOpened(found);
  if (!model.ok()) return NamingModel(model.status(), flags.model);
  return model;
}

}  // namespace spillway
