#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

namespace spillway {

// A fixed set of threads that run one piece of work together, in step.
//
// The thread that calls Run() is the leader and takes part as thread 0. A thread that waits (for
// work, or at a barrier) first spins, because the others are about as far, and then parks: an idle
// team takes no CPU, and one whose threads outnumber the cores doesn't spin at all.
//
// Threading: one leader at a time. Barrier() only from inside Run(), by every thread of the team.
class ThreadTeam {
 public:
  // Starts thread_count - 1 threads. Requires thread_count > 0.
  explicit ThreadTeam(int32_t thread_count);
  ~ThreadTeam();  // Requires that no Run() is in progress.

  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int32_t size() const { return size_; }

  // Calls work(thread) on every thread, thread in [0, size()), and returns when all have returned.
  // What they wrote is visible to the caller.
  void Run(absl::FunctionRef<void(int32_t thread)> work);

  // Waits until every thread of the team is here. What each wrote before is visible to all after.
  void Barrier();

 private:
  void Work(int32_t thread);
  // Returns once `value` differs from `old`; parks after `spin_count` looks.
  void WaitForChange(const std::atomic<uint32_t>& value, uint32_t old, int32_t spin_count) const;

  const int32_t size_;
  const bool spins_;  // false where threads outnumber the cores

  // Written by the leader before it bumps generation_, read by the others after they see that.
  const absl::FunctionRef<void(int32_t)>* work_ = nullptr;  // nullptr: stop

  // On lines of their own: the spinners read what the arriving ones write.
  alignas(64) std::atomic<uint32_t> generation_{0};  // Run() calls so far
  alignas(64) std::atomic<uint32_t> arrived_{0};     // threads at the present barrier
  alignas(64) std::atomic<uint32_t> phase_{0};       // barriers passed so far

  std::vector<std::thread> threads_;
};

// The share of `thread` in `count` things, split as evenly as can be: [first, second).
inline std::pair<int32_t, int32_t> ShareOf(int32_t thread, int32_t thread_count, int32_t count) {
  const auto bound = [&](int64_t i) { return static_cast<int32_t>(i * count / thread_count); };
  return {bound(thread), bound(thread + 1)};
}

}  // namespace spillway
