// spillway-worker: one model on one device, served over gRPC. The composition root: it alone reads
// flags, makes the concrete objects and starts the threads (docs/threads.md).

#include <sys/prctl.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/quantities.h"
#include "common/standard_files.h"
#include "common/status_macros.h"
#include "common/tls/tls_files.h"
#include "grpcpp/grpcpp.h"
#include "worker/embedding_engine.h"
#include "worker/embedding_service.h"
#include "worker/engine_loop.h"
#include "worker/engine_watch.h"
#include "worker/loaded_model.h"
#include "worker/prompt_builder.h"
#include "worker/worker_flags.h"
#include "worker/worker_listener.h"
#include "worker/worker_service.h"

namespace spillway {
namespace {

SchedulerLimits LimitsFor(const ExecutorShape& shape, const WorkerFlags& flags) {
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

WorkerInfo InfoFor(const LoadedDecoder& decoder, const WorkerFlags& flags,
                   std::string instance_id) {
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
          .takes_grammars = decoder.executor->takes_masks(),
          .sampling_defaults = decoder.sampling_defaults};
}

EmbeddingInfo InfoFor(const LoadedEncoder& encoder, std::string instance_id) {
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
void TellFailure(const WorkerFlags& flags, const absl::Status& failure) {
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

absl::StatusOr<WorkerListener> Listen(const WorkerFlags& flags, grpc::Service& service) {
  return ListenForRouters(flags.listen, flags.tls, flags.tls_authority, service);
}

EngineLimits EngineLimitsFor(const WorkerFlags& flags) {
  EngineLimits limits;
  if (flags.hung_after_s > 0) limits.patience.least = absl::Seconds(flags.hung_after_s);
  return limits;
}

constexpr absl::Duration kWatchTick = absl::Seconds(1);

// Nothing brings an engine back that hangs in its device or its lock. The end of the process is
// seen by all at once: routers resume its sequences elsewhere, and whoever started it does so
// again.
[[noreturn]] void EndHung(absl::Duration silence) {
  LogError(absl::StrCat("the engine has not moved for ",
                        absl::FormatDuration(absl::Trunc(silence, absl::Seconds(1))),
                        ", longer than its work can take: ending this process"));
  FlushLog();
  std::_Exit(1);  // Not by a signal: a core of all its memory would be written first.
}

absl::Status ServeDecoder(LoadedDecoder decoder, const WorkerFlags& flags, const Clock& clock,
                          const sigset_t& signals) {
  const ExecutorShape& shape = decoder.executor->shape();
  LogMemory(shape, decoder.context_tokens_max);
  const PromptBuilder prompts(*decoder.tokenizer, decoder.chat_templates.usual.get(),
                              decoder.chat_templates.with_tools.get());
  WorkerService service({}, InfoFor(decoder, flags, InstanceId(clock)), prompts, *decoder.tokenizer,
                        clock);
  EngineLoop engine(EngineLimitsFor(flags), LimitsFor(shape, flags), *decoder.executor,
                    *decoder.tokenizer, clock, service);
  service.Connect(engine);
  ASSIGN_OR_RETURN(const WorkerListener listener, Listen(flags, service.service()));

  absl::Status engine_status;
  std::thread engine_thread([&] {
    engine_status = engine.Run();
    // A device failure ends the worker as a signal would.
    if (!engine_status.ok()) kill(getpid(), SIGTERM);
  });
  std::optional<EngineWatch> watch;
  if (flags.hung_after_s > 0)
    watch.emplace(clock, kWatchTick, [&] { return engine.sign(); }, EndHung);
  WaitForSignal(listener.address, signals);
  service.SetDraining(true);
  engine.Stop();
  engine_thread.join();
  watch.reset();
  Shutdown(*listener.server);
  return engine_status;
}

absl::Status ServeEncoder(LoadedEncoder model, const WorkerFlags& flags, const Clock& clock,
                          const sigset_t& signals) {
  CpuEncoder& encoder = *model.encoder;
  EmbeddingEngine engine({}, encoder.tokens_max(), encoder.spec().hidden_size,
                         [&encoder](std::span<const std::span<const TokenId>> texts,
                                    float* vectors) { encoder.Encode(texts, vectors); });
  EmbeddingService service({}, InfoFor(model, InstanceId(clock)), *model.texts, engine);
  ASSIGN_OR_RETURN(const WorkerListener listener, Listen(flags, service.service()));
  WaitForSignal(listener.address, signals);
  service.SetDraining(true);
  engine.Stop();
  Shutdown(*listener.server);
  return absl::OkStatus();
}

absl::Status CheckTls(const WorkerFlags& flags) {
  if (flags.tls.certificate.empty()) return absl::OkStatus();
  return CheckTlsFiles(flags.tls, flags.tls_authority);
}

absl::StatusOr<LoadedModel> Load(const WorkerFlags& flags) {
  RETURN_IF_ERROR(CheckTls(flags));
  return LoadModel(flags);
}

absl::Status Serve(const WorkerFlags& flags, const sigset_t& signals) {
  const SystemClock clock;
  const absl::Time begun = clock.Now();
  absl::StatusOr<LoadedModel> model = Load(flags);
  if (!model.ok()) {
    TellFailure(flags, model.status());
    return model.status();
  }
  const auto log_loaded = [&](const std::string& device) {
    LogInfo(absl::StrCat("loaded ", flags.model_name, " on ", device, " in ",
                         absl::ToInt64Milliseconds(clock.Now() - begun), " ms"));
  };
  if (auto* const decoder = std::get_if<LoadedDecoder>(&*model)) {
    log_loaded(decoder->executor->device_name());
    return ServeDecoder(std::move(*decoder), flags, clock, signals);
  }
  auto& encoder = std::get<LoadedEncoder>(*model);
  log_loaded(encoder.encoder->device_name());
  return ServeEncoder(std::move(encoder), flags, clock, signals);
}

int Main(int argc, char** argv) {
  KeepStandardFilesOpen();
  const std::variant<WorkerFlags, int> parsed = ParseWorkerFlags(argc, argv);
  if (const int* const exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const auto& flags = std::get<WorkerFlags>(parsed);
  if (flags.die_with_parent) prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Whoever reads the log may go away, and its file may reach its limit (ulimit -f).
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  const sigset_t signals = BlockSignals();
  InitLogging("worker", LogLevel::kInfo);
  const absl::Status status = Serve(flags, signals);
  if (status.ok()) return 0;
  LogError(std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) { return spillway::Main(argc, argv); }
