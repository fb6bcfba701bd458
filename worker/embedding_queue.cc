#include "worker/embedding_queue.h"

#include <utility>

#include "common/check.h"

namespace spillway {

EmbeddingQueue::EmbeddingQueue(const EmbeddingQueueLimits& limits, int32_t batch_tokens_max,
                               int32_t vector_size)
    : limits_(limits),
      batch_tokens_max_(batch_tokens_max),
      vector_size_(static_cast<size_t>(vector_size)) {}

bool EmbeddingQueue::TryAdd(EmbeddingJob&& job) {
  CHECK(!job.texts.empty());
  int64_t tokens = 0;
  for (const std::vector<TokenId>& text : job.texts) {
    CHECK(!text.empty() && text.size() <= static_cast<size_t>(batch_tokens_max_));
    tokens += static_cast<int64_t>(text.size());
  }
  const bool full = static_cast<int32_t>(jobs_.size()) >= limits_.jobs_max ||
                    token_count_ + tokens > limits_.tokens_max;
  if (full && !jobs_.empty()) return false;
  token_count_ += tokens;
  jobs_.push_back({.job = std::move(job), .token_count = tokens});
  return true;
}

std::vector<EmbeddingJob> EmbeddingQueue::TakeAbandoned() {
  CHECK(batch_.empty());
  std::vector<EmbeddingJob> abandoned;
  std::erase_if(jobs_, [&](Pending& pending) {
    if (!pending.job.abandoned()) return false;
    token_count_ -= pending.token_count;
    abandoned.push_back(std::move(pending.job));
    return true;
  });
  return abandoned;
}

std::span<const std::span<const TokenId>> EmbeddingQueue::TakeBatch() {
  CHECK(batch_.empty());
  auto room = static_cast<size_t>(batch_tokens_max_);
  for (Pending& pending : jobs_) {
    const std::vector<std::vector<TokenId>>& texts = pending.job.texts;
    while (pending.taken < texts.size() && texts[pending.taken].size() <= room) {
      room -= texts[pending.taken].size();
      batch_.push_back(texts[pending.taken++]);
    }
    if (pending.taken < texts.size()) break;
  }
  return batch_;
}

std::vector<EmbeddingQueue::Completed> EmbeddingQueue::Finish(std::span<const float> vectors) {
  CHECK(vectors.size() == batch_.size() * vector_size_);
  batch_.clear();
  for (Pending& pending : jobs_) {
    const size_t wanted = pending.taken * vector_size_ - pending.vectors.size();
    pending.vectors.insert(pending.vectors.end(), vectors.begin(), vectors.begin() + wanted);
    vectors = vectors.subspan(wanted);
  }
  CHECK(vectors.empty());
  std::vector<Completed> completed;
  while (!jobs_.empty() && jobs_.front().taken == jobs_.front().job.texts.size()) {
    token_count_ -= jobs_.front().token_count;
    completed.push_back(
        {.job = std::move(jobs_.front().job), .vectors = std::move(jobs_.front().vectors)});
    jobs_.pop_front();
  }
  return completed;
}

std::vector<EmbeddingJob> EmbeddingQueue::TakeAll() {
  std::vector<EmbeddingJob> all;
  for (Pending& pending : jobs_) all.push_back(std::move(pending.job));
  jobs_.clear();
  batch_.clear();
  token_count_ = 0;
  return all;
}

}  // namespace spillway
