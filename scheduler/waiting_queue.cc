#include "scheduler/waiting_queue.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {
namespace {

bool WaitsBefore(const Sequence* a, const Sequence* b) {
  if (a->priority == b->priority && a->preempted != b->preempted) return a->preempted;
  return GoesBefore(*a, *b);
}

double Squared(int64_t tokens) { return static_cast<double>(tokens) * static_cast<double>(tokens); }

}  // namespace

WaitingQueue::WaitingQueue(const SchedulerLimits& limits, int32_t capacity)
    : bonus_age_max_(limits.prefix_bonus_age_max),
      bonus_candidates_max_(limits.prefix_cache ? limits.prefix_bonus_candidates_max : 1) {
  sequences_.reserve(static_cast<size_t>(capacity));
}

void WaitingQueue::Push(Sequence& sequence) {
  sequences_.insert(std::ranges::upper_bound(sequences_, &sequence, WaitsBefore), &sequence);
  sequence.waiting_tokens = sequence.known();
  tokens_ += sequence.waiting_tokens;
  squared_tokens_ += Squared(sequence.waiting_tokens);
}

void WaitingQueue::Remove(Sequence& sequence) {
  const auto it = std::ranges::lower_bound(sequences_, &sequence, WaitsBefore);
  CHECK(it != sequences_.end() && *it == &sequence);
  sequences_.erase(it);
  tokens_ -= sequence.waiting_tokens;
  squared_tokens_ -= Squared(sequence.waiting_tokens);
}

Sequence* WaitingQueue::Next(absl::Time now,
                             absl::FunctionRef<int32_t(const Sequence&)> cached_tokens) const {
  if (sequences_.empty()) return nullptr;
  Sequence* best = sequences_.front();
  // Who may be passed stands behind all of its priority who may not, so the first one tells.
  const bool may_be_passed = !best->preempted && now - best->arrival <= bonus_age_max_;
  if (bonus_candidates_max_ == 1 || size() == 1 || !may_be_passed) return best;

  int32_t best_cached = cached_tokens(*best);
  const int32_t candidates = std::min(bonus_candidates_max_, size());
  for (int32_t i = 1; i < candidates; ++i) {
    Sequence* candidate = sequences_[static_cast<size_t>(i)];
    if (candidate->priority != best->priority) break;
    const int32_t cached = cached_tokens(*candidate);
    if (cached > best_cached) {
      best = candidate;
      best_cached = cached;
    }
  }
  return best;
}

}  // namespace spillway
