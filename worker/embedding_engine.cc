#include "worker/embedding_engine.h"

#include <pthread.h>

#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace spillway {

EmbeddingEngine::EmbeddingEngine(const EmbeddingQueueLimits& limits, int32_t batch_tokens_max,
                                 int32_t vector_size, Encode encode)
    : vector_size_(static_cast<size_t>(vector_size)),
      encode_(std::move(encode)),
      queue_(limits, batch_tokens_max, vector_size) {
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "embedding");
}

EmbeddingEngine::~EmbeddingEngine() { Stop(); }

bool EmbeddingEngine::Submit(EmbeddingJob&& job) {
  {
    MutexLock lock(mutex_);
    if (load_.stopping || !queue_.TryAdd(std::move(job))) return false;
    ++load_.jobs;
  }
  changed_.NotifyOne();
  return true;
}

void EmbeddingEngine::Stop() {
  {
    MutexLock lock(mutex_);
    load_.stopping = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  std::vector<EmbeddingJob> left;
  {
    MutexLock lock(mutex_);
    left = queue_.TakeAll();
    load_.jobs = 0;
  }
  for (EmbeddingJob& job : left) job.done(absl::UnavailableError("the worker is stopping"));
}

EmbeddingLoad EmbeddingEngine::load() const {
  MutexLock lock(mutex_);
  return load_;
}

void EmbeddingEngine::Run() {
  std::vector<float> vectors;
  while (true) {
    std::span<const std::span<const TokenId>> batch;
    std::vector<EmbeddingJob> abandoned;
    {
      MutexLock lock(mutex_);
      while (!load_.stopping && queue_.job_count() == 0) changed_.Wait(mutex_);
      if (load_.stopping) return;
      abandoned = queue_.TakeAbandoned();
      batch = queue_.TakeBatch();
      load_.jobs = queue_.job_count();
    }
    for (EmbeddingJob& job : abandoned) job.done(absl::CancelledError("nobody waits for it"));
    if (batch.empty()) continue;
    // The texts stay where they are: only Finish() and Stop(), which joins, take jobs away.
    vectors.resize(batch.size() * vector_size_);
    encode_(batch, vectors.data());
    std::vector<EmbeddingQueue::Completed> completed;
    {
      MutexLock lock(mutex_);
      completed = queue_.Finish(vectors);
      ++load_.passes;
      load_.jobs = queue_.job_count();
    }
    for (EmbeddingQueue::Completed& each : completed) each.job.done(std::move(each.vectors));
  }
}

}  // namespace spillway
