#pragma once

#include <cstdint>
#include <memory>

#include "common/clock.h"
#include "worker/engine_loop.h"
#include "worker/prompt_builder.h"
#include "worker/router_session_limits.h"
#include "worker/sampling/sampling_params.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_identity.h"

namespace grpc {
class Service;
}

namespace spillway {

struct WorkerServiceLimits {
  int32_t submissions_max = 2048;       // received and not yet tokenized, over all routers
  size_t submit_bytes_max = 64u << 20;  // of one submission, all its parts together
  size_t frame_bytes_max = 1u << 20;    // of one WorkerFrame
  RouterSessionLimits sessions;
  absl::Duration load_interval = absl::Milliseconds(100);  // between frames that tell only the load
};

// What Describe says.
struct WorkerInfo {
  WorkerIdentity identity;
  int32_t context_tokens_max = 0;
  int32_t running_max = 0;
  int32_t waiting_max = 0;
  int32_t kv_block_tokens = 0;
  int32_t kv_blocks_total = 0;
  bool has_chat_template = false;
  bool takes_grammars = false;            // the executor takes masks
  SamplingParams sampling_defaults = {};  // of a request that doesn't say
};

// The gRPC face of a worker: tokenizes what routers submit, hands it to the engine, and sends back
// each step's events in one frame per router.
//
// Threads: gRPC's call in; one thread of its own (`prompt`) renders and tokenizes, in order, so
// that a long prompt holds up neither the stream nor the engine; OnStep comes on the engine thread.
// All state is behind mutexes. Everything passed in outlives it, and the engine must be stopped
// before it goes. Destroy it only after the gRPC server has shut down.
class WorkerService : public EngineSink {
 public:
  WorkerService(const WorkerServiceLimits& limits, WorkerInfo info, const PromptBuilder& prompts,
                const Tokenizer& tokenizer, const Clock& clock);
  ~WorkerService() override;

  // The engine that runs what is submitted. Call once, before the service is registered.
  void Connect(EngineLoop& engine);

  // To register with a gRPC server.
  grpc::Service& service();

  // Refuses new sequences while true; those that run go on.
  void SetDraining(bool draining);

  void OnStep(std::span<EngineEvent> events, const EngineLoad& load) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
