#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>

// Brings GUARDED_BY, in the same meaning as ours below.
#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

// Clang's thread-safety attributes; nothing under g++. The `clang` preset turns misuse into errors.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#if defined(__clang__)
#define SPILLWAY_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define SPILLWAY_THREAD_ATTRIBUTE(x)
#endif
#define REQUIRES(...) SPILLWAY_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SPILLWAY_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace spillway {

// A std::mutex that clang's analysis understands. absl::Mutex would do, but Debian's abseil is
// not instrumented, which hides its hand-offs from ThreadSanitizer.
class SPILLWAY_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void Lock() SPILLWAY_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void Unlock() SPILLWAY_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SPILLWAY_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) SPILLWAY_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() SPILLWAY_THREAD_ATTRIBUTE(release_capability()) { mutex_.Unlock(); }

  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may wake without cause: loop over the condition.
class CondVar {
 public:
  void Wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when `timeout` passed first.
  bool WaitFor(Mutex& mutex, absl::Duration timeout) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    // An infinite timeout would overflow inside wait_for; a waker once a day costs nothing.
    const std::cv_status status =
        condition_.wait_for(lock, absl::ToChronoNanoseconds(std::min(timeout, absl::Hours(24))));
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace spillway
