#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace spillway {

// How many connections a process has open. Thread-safe.
class ConnectionCount {
 public:
  explicit ConnectionCount(int32_t max) : max_(max) {}

  // False at the limit; nothing is counted then.
  bool TryAdd() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (count_ >= max_) return false;
    ++count_;
    return true;
  }
  void Remove() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (--count_ == 0) none_left_.NotifyAll();
  }

  // Waits until none is left; false when `timeout` passed first.
  bool WaitForNone(const Clock& clock, absl::Duration timeout) EXCLUDES(mutex_) {
    // A loop, so that a wake without cause isn't taken for the end; the wait itself keeps the time.
    const absl::Time deadline = clock.Now() + timeout;
    MutexLock lock(mutex_);
    while (count_ > 0) {
      const absl::Duration left = deadline - clock.Now();
      if (left <= absl::ZeroDuration()) return false;
      none_left_.WaitFor(mutex_, left);
    }
    return true;
  }

 private:
  const int32_t max_;
  Mutex mutex_;
  CondVar none_left_;
  int32_t count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spillway
