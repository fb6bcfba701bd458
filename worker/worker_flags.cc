#include "worker/worker_flags.h"

#include "CLI/CLI.hpp"
#include "common/model_name.h"

namespace spillway {
namespace {

// What CLI11 wants of a check: why `text` is refused, or nothing.
template <typename Parser>
auto CheckedBy(Parser parse) {
  return [parse](const std::string& text) { return std::string(parse(text).status().message()); };
}

void AddTlsOptions(CLI::App& app, WorkerFlags& flags) {
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
}

void AddMemoryOptions(CLI::App& app, WorkerFlags& flags) {
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
  app.add_option("--context", flags.executor.sequence_tokens_max,
                 "Tokens of one sequence, prompt and answer. Default: the model's context, or as\n"
                 "much of it as the KV memory holds");
}

void AddStepOptions(CLI::App& app, WorkerFlags& flags) {
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
  app.add_option("--hung-after", flags.hung_after_s,
                 "Seconds without progress after which this process ends itself, so that others\n"
                 "go on with its work; more for steps that are predicted to take over a 20th of\n"
                 "that. 0: never")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
}

}  // namespace

std::variant<WorkerFlags, int> ParseWorkerFlags(int argc, const char* const* argv) {
  WorkerFlags flags;
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
  AddTlsOptions(app, flags);
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
  AddMemoryOptions(app, flags);
  AddStepOptions(app, flags);
  app.add_flag("--die-with-parent", flags.die_with_parent, "End when the parent process ends");
  app.set_version_flag("--version", SPILLWAY_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  flags.device = *ParseDeviceChoice(device);
  flags.gpu_memory = *ParseGpuMemoryLimit(gpu_memory);
  if (flags.model_name.empty()) flags.model_name = ModelNameFromPath(flags.model);
  return flags;
}

}  // namespace spillway
