// spillway-worker: one model on one device, served over gRPC. The composition root: it alone reads
// flags, makes the concrete objects and starts the threads (docs/threads.md).

#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/machine_memory.h"
#include "common/model_name.h"
#include "common/quantities.h"
#include "common/status_macros.h"
#include "common/tls/tls_files.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "worker/cpu_encoder.h"
#include "worker/cpu_executor.h"
#include "worker/cuda/make_cuda_executor.h"
#include "worker/device_choice.h"
#include "worker/embedding_engine.h"
#include "worker/embedding_service.h"
#include "worker/embedding_tokenizer.h"
#include "worker/engine_loop.h"
#include "worker/model/model_files.h"
#include "worker/prompt_builder.h"
#include "worker/text/chat_templates.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_service.h"

namespace spillway {
namespace {

struct Flags {
  std::string model;
  std::string model_name;
  std::string listen = "unix:spillway-worker.sock";
  TlsFiles tls;               // all three or none
  std::string tls_authority;  // PEM file
  std::string failure_file;
  bool die_with_parent = false;
  int32_t waiting_max = 1024;
  int32_t step_target_ms = 200;  // 0: none
  DeviceChoice device;
  GpuMemoryLimit gpu_memory;
  int32_t step_tokens_max = 0;  // 0: what the device likes
  CpuExecutorOptions executor;  // what isn't the CPU's alone holds for GPUs, too
};

// A text model, ready to run. Immutable once loaded, but for the executor.
struct Decoder {
  std::string name;
  std::string architecture;
  std::string hash;
  int32_t context_tokens_max = 0;  // the model's own
  std::unique_ptr<Tokenizer> tokenizer;
  ChatTemplates chat_templates;  // none: the files have none
  SamplingParams sampling_defaults;
  std::unique_ptr<Executor> executor;
};

// An embedding model likewise.
struct Encoder {
  std::string name;
  std::string hash;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<EmbeddingTokenizer> texts;
  std::unique_ptr<CpuEncoder> encoder;
};

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

CudaExecutorOptions CudaOptionsOf(const Flags& flags) {
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
                                                       const Flags& flags) {
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
absl::Status LoadText(const DecoderFiles& files, Decoder& decoder) {
  ASSIGN_OR_RETURN(TokenizerSpec spec, files.ReadTokenizer());
  ASSIGN_OR_RETURN(decoder.chat_templates, ReadChatTemplates(files, spec));
  ASSIGN_OR_RETURN(decoder.sampling_defaults, files.ReadSamplingDefaults());
  ASSIGN_OR_RETURN(decoder.tokenizer, Tokenizer::Create(std::move(spec)));
  return absl::OkStatus();
}

absl::StatusOr<Decoder> LoadDecoder(const DecoderFiles& files, const Flags& flags) {
  Decoder decoder;
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

absl::StatusOr<Encoder> LoadEncoder(const EncoderFiles& files, const Flags& flags) {
  Encoder encoder;
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

SchedulerLimits LimitsFor(const ExecutorShape& shape, const Flags& flags) {
  SchedulerLimits limits;
  limits.waiting_max = flags.waiting_max;
  if (flags.step_target_ms > 0) limits.step_target = absl::Milliseconds(flags.step_target_ms);
  limits.running_max = shape.running_max;
  limits.step_tokens_max = shape.step_tokens_max;
  limits.block_tokens = shape.block_tokens;
  limits.block_count = shape.block_count;
  limits.sequence_tokens_max = shape.sequence_tokens_max;
  return limits;
}

// Another for each process.
std::string InstanceId(const Clock& clock) {
  return absl::StrCat(getpid(), "-", absl::ToUnixNanos(clock.WallNow()));
}

WorkerInfo InfoFor(const Decoder& decoder, const Flags& flags, std::string instance_id) {
  const ExecutorShape& shape = decoder.executor->shape();
  return {.identity = {.model_name = decoder.name,
                       .model_hash = decoder.hash,
                       .numerics_id = decoder.executor->numerics_id(),
                       .architecture = decoder.architecture,
                       .device = decoder.executor->device_name(),
                       .build = SPILLWAY_VERSION,
                       .instance_id = std::move(instance_id)},
          .context_tokens_max = shape.sequence_tokens_max,
          .running_max = shape.running_max,
          .waiting_max = flags.waiting_max,
          .kv_block_tokens = shape.block_tokens,
          .kv_blocks_total = shape.block_count,
          .has_chat_template = !decoder.chat_templates.empty(),
          .sampling_defaults = decoder.sampling_defaults};
}

EmbeddingInfo InfoFor(const Encoder& encoder, std::string instance_id) {
  const EncoderSpec& spec = encoder.encoder->spec();
  return {.identity = {.model_name = encoder.name,
                       .model_hash = encoder.hash,
                       .numerics_id = encoder.encoder->numerics_id(),
                       .architecture = spec.architecture,
                       .device = encoder.encoder->device_name(),
                       .build = SPILLWAY_VERSION,
                       .instance_id = std::move(instance_id)},
          .text_tokens_max = spec.text_tokens_max,
          .vocabulary_size = spec.vocabulary_size,
          .vector_size = spec.hidden_size};
}

// Blocks the signals that end us, in this thread and all it starts; WaitForSignal() takes them.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Leaves `failure` where whoever started this process looks for it.
void TellFailure(const Flags& flags, const absl::Status& failure) {
  if (flags.failure_file.empty()) return;
  std::ofstream(flags.failure_file) << failure.message();
}

void LogMemory(const ExecutorShape& shape, int32_t context_tokens_max) {
  const int64_t tokens = int64_t{shape.block_count} * shape.block_tokens;
  LogInfo(absl::StrCat(
      "KV memory ", FormatBytes(shape.kv_bytes), ": at ", FormatCount(shape.sequence_tokens_max),
      " tokens a sequence: ", FormatCount(tokens / shape.sequence_tokens_max), " sequences"));
  if (shape.sequence_tokens_max < context_tokens_max) {
    LogWarning(absl::StrCat("sequences are limited to ", FormatCount(shape.sequence_tokens_max),
                            " tokens; the model's context has ", FormatCount(context_tokens_max),
                            ". --context and --kv-memory say otherwise"));
  }
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

struct Listener {
  std::unique_ptr<grpc::Server> server;
  std::string address;  // with the port that was taken
};

// Looks every few seconds whether the files have changed.
std::shared_ptr<grpc::ServerCredentials> CredentialsFor(const Flags& flags) {
  if (flags.tls.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          flags.tls.key, flags.tls.certificate, flags.tls_authority, /*refresh_interval_sec=*/2));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<Listener> Listen(const Flags& flags, grpc::Service& service) {
  const bool local = flags.listen.starts_with("unix:");
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  // A second worker at the same port would otherwise share it unseen.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Routers ping every 10 s (router/worker_upstream.cc); gRPC's own limit is one in 5 minutes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  int port = 0;
  builder.AddListeningPort(flags.listen, CredentialsFor(flags), &port);
  builder.RegisterService(&service);
  if (local) umask(0077);  // The socket is for this user alone.
  Listener listener{.server = builder.BuildAndStart(), .address = flags.listen};
  if (listener.server == nullptr) {
    return absl::UnavailableError(absl::StrCat("can't listen on ", flags.listen));
  }
  if (!local) {
    listener.address = absl::StrCat(flags.listen.substr(0, flags.listen.rfind(':')), ":", port);
  }
  return listener;
}

void WaitForSignal(const std::string& address, const sigset_t& signals) {
  LogInfo(absl::StrCat("ready on ", address));
  int signal = 0;
  sigwait(&signals, &signal);
  LogInfo("stopping");
}

// The last events are on their way; streams that routers keep open are cut after this.
void Shutdown(grpc::Server& server) {
  server.Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  server.Wait();
}

absl::Status ServeDecoder(Decoder decoder, const Flags& flags, const Clock& clock,
                          const sigset_t& signals) {
  const ExecutorShape& shape = decoder.executor->shape();
  LogMemory(shape, decoder.context_tokens_max);
  const PromptBuilder prompts(*decoder.tokenizer, decoder.chat_templates.usual.get(),
                              decoder.chat_templates.with_tools.get());
  WorkerService service({}, InfoFor(decoder, flags, InstanceId(clock)), prompts, *decoder.tokenizer,
                        clock);
  EngineLoop engine({}, LimitsFor(shape, flags), *decoder.executor, *decoder.tokenizer, clock,
                    service);
  service.Connect(engine);
  ASSIGN_OR_RETURN(const Listener listener, Listen(flags, service.service()));

  absl::Status engine_status;
  std::thread engine_thread([&] {
    engine_status = engine.Run();
    // A device failure ends the worker as a signal would.
    if (!engine_status.ok()) kill(getpid(), SIGTERM);
  });
  WaitForSignal(listener.address, signals);
  service.SetDraining(true);
  engine.Stop();
  engine_thread.join();
  Shutdown(*listener.server);
  return engine_status;
}

absl::Status ServeEncoder(Encoder model, const Flags& flags, const Clock& clock,
                          const sigset_t& signals) {
  CpuEncoder& encoder = *model.encoder;
  EmbeddingEngine engine({}, encoder.tokens_max(), encoder.spec().hidden_size,
                         [&encoder](std::span<const std::span<const TokenId>> texts,
                                    float* vectors) { encoder.Encode(texts, vectors); });
  EmbeddingService service({}, InfoFor(model, InstanceId(clock)), *model.texts, engine);
  ASSIGN_OR_RETURN(const Listener listener, Listen(flags, service.service()));
  WaitForSignal(listener.address, signals);
  service.SetDraining(true);
  engine.Stop();
  Shutdown(*listener.server);
  return absl::OkStatus();
}

absl::Status Serve(Flags flags, const sigset_t& signals) {
  if (!flags.tls.certificate.empty()) {
    if (absl::Status usable = CheckTlsFiles(flags.tls, flags.tls_authority); !usable.ok()) {
      TellFailure(flags, usable);
      return usable;
    }
  }
  const SystemClock clock;
  const absl::Time begun = clock.Now();
  FindMemory(flags.executor);
  if (flags.model_name.empty()) flags.model_name = ModelNameFromPath(flags.model);
  absl::StatusOr<Decoder> decoder = absl::UnimplementedError("");
  absl::StatusOr<Encoder> encoder = absl::UnimplementedError("");
  absl::StatusOr<ModelFiles> files = OpenModelFiles(flags.model);
  absl::Status loaded = files.status();
  std::string device;
  if (loaded.ok() && files->decoder != nullptr) {
    decoder = LoadDecoder(*files->decoder, flags);
    loaded = decoder.status();
    if (loaded.ok()) device = decoder->executor->device_name();
  } else if (loaded.ok()) {
    encoder = LoadEncoder(*files->encoder, flags);
    loaded = encoder.status();
    if (loaded.ok()) device = encoder->encoder->device_name();
  }
  if (!loaded.ok()) {
    loaded = NamingModel(loaded, flags.model);
    TellFailure(flags, loaded);
    return loaded;
  }
  *files = {};  // The weights are packed elsewhere.
  LogInfo(absl::StrCat("loaded ", flags.model_name, " on ", device, " in ",
                       absl::ToInt64Milliseconds(clock.Now() - begun), " ms"));
  if (decoder.ok()) return ServeDecoder(*std::move(decoder), flags, clock, signals);
  return ServeEncoder(*std::move(encoder), flags, clock, signals);
}

// What CLI11 wants of a check: why `text` is refused, or nothing.
template <typename Parser>
auto CheckedBy(Parser parse) {
  return [parse](const std::string& text) { return std::string(parse(text).status().message()); };
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(
      "spillway-worker: serves one model on one device over gRPC (proto/worker.proto): a text\n"
      "model its answers, an embedding model its vectors.\n"
      "Usually started by `spillway serve`.");
  app.add_option("--model", flags.model, "GGUF file or Hugging Face folder to serve")->required();
  app.add_option("--model-name", flags.model_name,
                 "Name to serve it under; default: from the path");
  app.add_option("--listen", flags.listen,
                 "gRPC address: unix:PATH or HOST:PORT; port 0 takes a free one")
      ->capture_default_str();
  auto* const certificate =
      app.add_option(
             "--tls-cert", flags.tls.certificate,
             "PEM file with this worker's certificate, for the host of --listen and of the\n"
             "router's --worker. With it, only routers that show a certificate of --tls-ca\n"
             "get an answer. New files are taken up within seconds")
          ->check(CLI::ExistingFile)
          ->type_name("FILE");
  auto* const key = app.add_option("--tls-key", flags.tls.key, "PEM file with its key")
                        ->check(CLI::ExistingFile)
                        ->type_name("FILE");
  auto* const authority =
      app.add_option("--tls-ca", flags.tls_authority,
                     "PEM file with the roots that routers' certificates come from")
          ->check(CLI::ExistingFile)
          ->type_name("FILE");
  certificate->needs(key)->needs(authority);
  key->needs(certificate);
  authority->needs(certificate);
  app.add_option("--failure-file", flags.failure_file,
                 "File to write into, before ending, why the model can't be served");
  std::string device = "auto";
  std::string gpu_memory = "0.9";
  app.add_option("--device", device,
                 "auto, cpu, cuda or cuda:N. auto: a GPU if there is one that can be used")
      ->check(CheckedBy(ParseDeviceChoice))
      ->take_last()
      ->capture_default_str();
  app.add_option("--gpu-memory", gpu_memory,
                 "How full the GPU may get, all programs counted: a share of its memory, or a\n"
                 "size such as 11.5GiB")
      ->check(CheckedBy(ParseGpuMemoryLimit))
      ->take_last()
      ->capture_default_str();
  app.add_option("--threads", flags.executor.threads, "CPU threads; 0: one a core")
      ->capture_default_str();
  app.add_option(
         "--kv-memory,--kv-bytes", flags.executor.kv_bytes,
         "Memory for the keys and values of past tokens, such as 2GB. Default: 80 % of what\n"
         "--memory leaves beside the model (on a GPU all that --gpu-memory leaves), at most\n"
         "what all sequences can need")
      ->transform(CLI::AsSizeValue(false))
      ->take_last();
  app.add_option("--memory", flags.executor.memory_bytes,
                 "Memory that this worker may take in all. Default: what the machine, or its\n"
                 "cgroup, has available")
      ->transform(CLI::AsSizeValue(false))
      ->take_last();
  app.add_option("--running-max", flags.executor.running_max, "Sequences in one step")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--waiting-max", flags.waiting_max, "Sequences that may wait")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--step-tokens", flags.step_tokens_max,
                 "Tokens in one step. Default: 512 on the CPU, 2048 on a GPU")
      ->check(CLI::Range(1, 65536));
  app.add_option(
         "--step-target", flags.step_target_ms,
         "Milliseconds that a step may take while answers are under way, and so the\n"
         "longest gap between two tokens: prompts are computed in chunks that end in time.\n"
         "0: no such limit, prompts are done soonest")
      ->check(CLI::Range(0, 60'000))
      ->capture_default_str();
  app.add_option("--context", flags.executor.sequence_tokens_max,
                 "Tokens of one sequence, prompt and answer. Default: the model's context, or as\n"
                 "much of it as the KV memory holds");
  app.add_flag("--die-with-parent", flags.die_with_parent, "End when the parent process ends");
  app.set_version_flag("--version", SPILLWAY_VERSION);
  CLI11_PARSE(app, argc, argv);
  flags.device = *ParseDeviceChoice(device);
  flags.gpu_memory = *ParseGpuMemoryLimit(gpu_memory);

  if (flags.die_with_parent) prctl(PR_SET_PDEATHSIG, SIGKILL);
  InitLogging("worker", LogLevel::kInfo);
  const sigset_t signals = BlockSignals();
  const absl::Status status = Serve(flags, signals);
  if (status.ok()) return 0;
  LogError(std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) { return spillway::Main(argc, argv); }
