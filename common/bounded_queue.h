#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/check.h"
#include "common/mutex.h"

namespace spillway {

// A queue between threads with a limit. The only way that data crosses threads besides a mutex
// with annotated members (docs/threads.md).
//
// Thread-safe: any number of producers and consumers. After Close() pushes fail, and pops drain
// what is left and then report the end.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) { CHECK(capacity > 0); }

  // False when full or closed; `item` is then untouched.
  bool TryPush(T&& item) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    ready_.NotifyOne();
    return true;
  }

  // Waits for an item; nullopt when closed and empty.
  std::optional<T> Pop() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) ready_.Wait(mutex_);
    return TakeFront();
  }

  // nullopt when empty.
  std::optional<T> TryPop() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return TakeFront();
  }

  // Moves everything queued to the end of `out`, waiting up to `timeout` while there is nothing.
  // False when closed and empty.
  bool PopAll(std::vector<T>& out, absl::Duration timeout) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (items_.empty() && !closed_ && timeout > absl::ZeroDuration()) {
      ready_.WaitFor(mutex_, timeout);
    }
    const bool alive = !items_.empty() || !closed_;
    for (T& item : items_) out.push_back(std::move(item));
    items_.clear();
    return alive;
  }

  void Close() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    ready_.NotifyAll();
  }

  size_t size() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return items_.size();
  }
  size_t capacity() const { return capacity_; }

 private:
  std::optional<T> TakeFront() REQUIRES(mutex_) {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar ready_;
  std::deque<T> items_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace spillway
