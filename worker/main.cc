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
#include <string>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logging.h"
#include "common/machine_memory.h"
#include "common/model_name.h"
#include "common/quantities.h"
#include "common/status_macros.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "worker/cpu_executor.h"
#include "worker/engine_loop.h"
#include "worker/model/gguf.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/model/model_spec.h"
#include "worker/prompt_builder.h"
#include "worker/text/chat_template.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_service.h"

namespace spillway {
namespace {

struct Flags {
  std::string model;
  std::string model_name;
  std::string listen = "unix:spillway-worker.sock";
  std::string failure_file;
  bool die_with_parent = false;
  int32_t waiting_max = 1024;
  CpuExecutorOptions executor;
};

// What is made from the model file. Immutable once loaded, but for the executor.
struct Model {
  ModelSpec spec;
  std::string hash;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null: the file has none
  std::unique_ptr<Executor> executor;
};

absl::StatusOr<std::unique_ptr<ChatTemplate>> LoadChatTemplate(const GgufFile& file,
                                                               const Tokenizer& tokenizer) {
  ASSIGN_OR_RETURN(const std::string source, ChatTemplateFromGguf(file));
  if (source.empty()) return nullptr;
  const auto text_of = [&tokenizer](TokenId token) {
    return token < 0 ? std::string() : std::string(tokenizer.TokenBytes(token));
  };
  return ChatTemplate::Parse(source, text_of(tokenizer.bos()), text_of(tokenizer.eos()));
}

absl::StatusOr<Model> LoadModel(const Flags& flags) {
  ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Open(flags.model));
  Model model;
  ASSIGN_OR_RETURN(model.spec, ModelSpecFromGguf(*file));
  model.spec.name = flags.model_name.empty() ? ModelNameFromPath(flags.model) : flags.model_name;
  model.hash = file->HeaderHash();
  // The weights are repacked by the executor's threads; the vocabulary meanwhile by this one.
  auto executor = std::async(std::launch::async,
                             [&] { return MakeCpuExecutor(model.spec, *file, flags.executor); });
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = [&] {
    absl::StatusOr<TokenizerSpec> spec = TokenizerSpecFromGguf(*file);
    return spec.ok() ? Tokenizer::Create(*std::move(spec))
                     : absl::StatusOr<std::unique_ptr<Tokenizer>>(spec.status());
  }();
  absl::StatusOr<std::unique_ptr<Executor>> made = executor.get();
  RETURN_IF_ERROR(tokenizer.status());
  RETURN_IF_ERROR(made.status());
  model.tokenizer = *std::move(tokenizer);
  model.executor = *std::move(made);
  ASSIGN_OR_RETURN(model.chat_template, LoadChatTemplate(*file, *model.tokenizer));
  return model;
}

SchedulerLimits LimitsFor(const ExecutorShape& shape, int32_t waiting_max) {
  SchedulerLimits limits;
  limits.waiting_max = waiting_max;
  limits.running_max = shape.running_max;
  limits.step_tokens_max = shape.step_tokens_max;
  limits.block_tokens = shape.block_tokens;
  limits.block_count = shape.block_count;
  limits.sequence_tokens_max = shape.sequence_tokens_max;
  return limits;
}

WorkerInfo InfoFor(const Model& model, const Flags& flags) {
  const ExecutorShape& shape = model.executor->shape();
  return {.model_name = model.spec.name,
          .model_hash = model.hash,
          .numerics_id = model.executor->numerics_id(),
          .architecture = model.spec.architecture,
          .device = model.executor->device_name(),
          .build = SPILLWAY_VERSION,
          .context_tokens_max = shape.sequence_tokens_max,
          .running_max = shape.running_max,
          .waiting_max = flags.waiting_max,
          .kv_block_tokens = shape.block_tokens,
          .kv_blocks_total = shape.block_count,
          .has_chat_template = model.chat_template != nullptr};
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

void LogMemory(const ExecutorShape& shape, const ModelSpec& spec) {
  const int64_t tokens = int64_t{shape.block_count} * shape.block_tokens;
  LogInfo(absl::StrCat(
      "KV memory ", FormatBytes(shape.kv_bytes), ": at ", FormatCount(shape.sequence_tokens_max),
      " tokens a sequence: ", FormatCount(tokens / shape.sequence_tokens_max), " sequences"));
  if (shape.sequence_tokens_max < spec.context_tokens_max) {
    LogWarning(absl::StrCat("sequences are limited to ", FormatCount(shape.sequence_tokens_max),
                            " tokens; the model's context has ",
                            FormatCount(spec.context_tokens_max),
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

absl::Status Serve(Flags flags, const sigset_t& signals) {
  const SystemClock clock;
  const absl::Time begun = clock.Now();
  FindMemory(flags.executor);
  absl::StatusOr<Model> loaded = LoadModel(flags);
  if (!loaded.ok()) {
    TellFailure(flags, loaded.status());
    return loaded.status();
  }
  Model& model = *loaded;
  const ExecutorShape& shape = model.executor->shape();
  LogInfo(absl::StrCat("loaded ", model.spec.name, " on ", model.executor->device_name(), " in ",
                       absl::ToInt64Milliseconds(clock.Now() - begun), " ms"));
  LogMemory(shape, model.spec);

  const PromptBuilder prompts(*model.tokenizer, model.chat_template.get());
  WorkerService service({}, InfoFor(model, flags), prompts, *model.tokenizer, clock);
  EngineLoop engine({}, LimitsFor(shape, flags.waiting_max), *model.executor, *model.tokenizer,
                    clock, service);
  service.Connect(engine);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  // A second worker at the same port would otherwise share it unseen.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Routers ping every 10 s (router/worker_upstream.cc); gRPC's own limit is one in 5 minutes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddListeningPort(flags.listen, grpc::InsecureServerCredentials());
  builder.RegisterService(&service.service());
  if (flags.listen.starts_with("unix:")) umask(0077);  // The socket is for this user alone.
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError(absl::StrCat("can't listen on ", flags.listen));
  }

  absl::Status engine_status;
  std::thread engine_thread([&] {
    engine_status = engine.Run();
    // A device failure ends the worker as a signal would.
    if (!engine_status.ok()) kill(getpid(), SIGTERM);
  });
  LogInfo(absl::StrCat("ready on ", flags.listen));
  int signal = 0;
  sigwait(&signals, &signal);
  LogInfo("stopping");
  service.SetDraining(true);
  engine.Stop();
  engine_thread.join();
  // The last events are on their way; streams that routers keep open are cut after this.
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  server->Wait();
  return engine_status;
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app(
      "spillway-worker: serves one model on one device over gRPC (proto/worker.proto).\n"
      "Usually started by `spillway serve`.");
  app.add_option("--model", flags.model, "GGUF file to serve")->required();
  app.add_option("--model-name", flags.model_name,
                 "Name to serve it under; default: from the file's name");
  app.add_option("--listen", flags.listen, "gRPC address: unix:PATH or HOST:PORT")
      ->capture_default_str();
  app.add_option("--failure-file", flags.failure_file,
                 "File to write into, before ending, why the model can't be loaded");
  app.add_option("--threads", flags.executor.threads, "CPU threads; 0: one a core")
      ->capture_default_str();
  app.add_option(
         "--kv-memory,--kv-bytes", flags.executor.kv_bytes,
         "Memory for the keys and values of past tokens, such as 2GB. Default: 80 % of what\n"
         "--memory leaves beside the model, at most what all sequences can need")
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
  app.add_option("--step-tokens", flags.executor.step_tokens_max, "Tokens in one step")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--context", flags.executor.sequence_tokens_max,
                 "Tokens of one sequence, prompt and answer. Default: the model's context, or as\n"
                 "much of it as the KV memory holds");
  app.add_flag("--die-with-parent", flags.die_with_parent, "End when the parent process ends");
  app.set_version_flag("--version", SPILLWAY_VERSION);
  CLI11_PARSE(app, argc, argv);

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
