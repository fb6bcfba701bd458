#pragma once

#include <cstdint>
#include <functional>
#include <thread>

#include "absl/time/time.h"
#include "common/bounded_queue.h"
#include "proto/worker.pb.h"
#include "scheduler/types.h"
#include "worker/engine_types.h"
#include "worker/worker_service_wire.h"

namespace spillway {

// The thread `prompt`: renders and tokenizes submissions, in order of arrival, so that a long
// prompt holds up neither the stream that it came on nor the engine.
//
// Thread-safe. The handlers are called on its thread; what they and `context` refer to outlives it.
class PromptThread {
 public:
  struct Submission {
    SequenceId id{};
    absl::Time arrival;
    wire::GenerateSpec spec;
  };
  struct Handlers {
    std::function<bool(SequenceId)> wanted;  // false: cancelled while it waited
    std::function<void(EngineRequest)> ready;
    std::function<void(SequenceId, const SpecRefusal&)> refused;
  };

  // Starts the thread. `submissions_max` may wait.
  PromptThread(int32_t submissions_max, const SpecContext& context, Handlers handlers);
  ~PromptThread();  // ends the thread; what waits is dropped

  // False when too many wait; `submission` is then untouched.
  bool TryPush(Submission&& submission) { return submissions_.TryPush(std::move(submission)); }

 private:
  void Run();

  const SpecContext context_;
  const Handlers handlers_;
  BoundedQueue<Submission> submissions_;
  std::thread thread_;
};

}  // namespace spillway
