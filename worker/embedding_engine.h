#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <thread>

#include "common/mutex.h"
#include "worker/embedding_queue.h"

namespace spillway {

// What an embedding engine has to do and has done.
struct EmbeddingLoad {
  int32_t jobs = 0;
  uint64_t passes = 0;    // since start
  bool stopping = false;  // Stop() was called
};

// Runs jobs through an encoder, one pass after the other, on a thread of its own ("embedding").
//
// Thread-safe but for Stop(). `done` of a job is called on the engine's thread, or in Stop() on
// that of its caller, without a lock held; it must not block.
class EmbeddingEngine {
 public:
  // Encodes texts into [texts, vector_size] f32; called on the engine's thread.
  using Encode =
      std::function<void(std::span<const std::span<const TokenId>> texts, float* vectors)>;

  EmbeddingEngine(const EmbeddingQueueLimits& limits, int32_t batch_tokens_max, int32_t vector_size,
                  Encode encode);
  ~EmbeddingEngine();  // Stop()

  // False when the queue is full or the engine stopped; `job` is then untouched.
  bool Submit(EmbeddingJob&& job) EXCLUDES(mutex_);

  // Ends after the pass that runs. What is left fails with UNAVAILABLE.
  void Stop() EXCLUDES(mutex_);

  EmbeddingLoad load() const EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);

  const size_t vector_size_;
  const Encode encode_;

  mutable Mutex mutex_;
  CondVar changed_;
  EmbeddingQueue queue_ GUARDED_BY(mutex_);
  EmbeddingLoad load_ GUARDED_BY(mutex_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace spillway
