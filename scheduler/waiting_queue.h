#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "scheduler/sequence.h"
#include "scheduler/types.h"

namespace spillway {

// Who waits, and who is next: by priority, then the preempted before the new, then by arrival. A
// new sequence with a longer cached prefix may pass earlier arrivals of its priority, within
// limits: among the first `prefix_bonus_candidates_max`, and never past one that was preempted or
// that has waited longer than `prefix_bonus_age_max`. So nobody waits longer than that because of
// others' bonus.
//
// Holds pointers only; the sequences outlive their stay. Not thread-safe. Push() and Remove() move
// up to one pointer per waiting sequence, and allocate nothing up to the capacity.
class WaitingQueue {
 public:
  WaitingQueue(const SchedulerLimits& limits, int32_t capacity);

  // Requires that `sequence` is not queued. Its priority, arrival and `preempted` must not change
  // while it is.
  void Push(Sequence& sequence);

  // Requires that `sequence` is queued.
  void Remove(Sequence& sequence);

  // Who is to start next as of `now`; null when nobody waits. `cached_tokens` says how much of a
  // sequence is cached; it is asked at most `prefix_bonus_candidates_max` times.
  Sequence* Next(absl::Time now, absl::FunctionRef<int32_t(const Sequence&)> cached_tokens) const;

  // In order, the bonus aside.
  const std::vector<Sequence*>& sequences() const { return sequences_; }
  int32_t size() const { return static_cast<int32_t>(sequences_.size()); }
  // To compute if nothing is cached: over all sequences, and the sum of their squares.
  int64_t tokens() const { return tokens_; }
  double squared_tokens() const { return squared_tokens_; }

 private:
  const absl::Duration bonus_age_max_;
  const int32_t bonus_candidates_max_;  // 1: no bonus
  std::vector<Sequence*> sequences_;
  int64_t tokens_ = 0;
  double squared_tokens_ = 0;  // exact: below 2^53
};

}  // namespace spillway
