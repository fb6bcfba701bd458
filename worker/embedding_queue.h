#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"

namespace spillway {

// Texts to be turned into vectors, and who wants them.
struct EmbeddingJob {
  // Each 1 to EncoderSpec::text_tokens_max tokens of the vocabulary; at least one text.
  std::vector<std::vector<TokenId>> texts;
  // To be called once: with [texts, vector_size] f32, or with why there are none.
  std::function<void(absl::StatusOr<std::vector<float>>)> done;
  // Whether nobody waits for it any more.
  std::function<bool()> abandoned;
};

struct EmbeddingQueueLimits {
  int32_t jobs_max = 1024;
  int64_t tokens_max = 4 << 20;  // of all jobs together: what they keep in memory, and how long
                                 // the last of them waits
};

// Which texts are encoded together next: those of the oldest jobs, in order, as many as one pass
// takes. Texts of different jobs share a pass, and one job may need several.
//
// Pure: no threads, no clock. Owned by EmbeddingEngine.
class EmbeddingQueue {
 public:
  // `batch_tokens_max`: of one pass, at least the longest text.
  EmbeddingQueue(const EmbeddingQueueLimits& limits, int32_t batch_tokens_max, int32_t vector_size);

  // False when a limit is reached; `job` is then untouched. A job alone is taken whatever its size.
  bool TryAdd(EmbeddingJob&& job);

  // Takes out the jobs that nobody waits for. Not while a pass is out.
  std::vector<EmbeddingJob> TakeAbandoned();

  // The next pass; empty when there is nothing to do. The spans hold until Finish(), which must
  // come before the next call.
  std::span<const std::span<const TokenId>> TakeBatch();
  // What the pass gave, [texts, vector_size]. Returns jobs that are complete, each with what to
  // call its `done` with.
  struct Completed {
    EmbeddingJob job;
    std::vector<float> vectors;
  };
  std::vector<Completed> Finish(std::span<const float> vectors);

  // All jobs, to be told that there will be no vectors.
  std::vector<EmbeddingJob> TakeAll();

  int32_t job_count() const { return static_cast<int32_t>(jobs_.size()); }

 private:
  struct Pending {
    EmbeddingJob job;
    int64_t token_count = 0;
    size_t taken = 0;            // texts that are in a pass or done
    std::vector<float> vectors;  // of those that are done
  };

  const EmbeddingQueueLimits limits_;
  const int32_t batch_tokens_max_;
  const size_t vector_size_;
  std::deque<Pending> jobs_;
  int64_t token_count_ = 0;                      // of jobs_
  std::vector<std::span<const TokenId>> batch_;  // of the first jobs, texts not done
};

}  // namespace spillway
