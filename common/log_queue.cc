#include "common/log_queue.h"

#include <deque>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"

namespace spillway {

struct LogQueue::Shared {
  explicit Shared(Write to) : write(std::move(to)) {}

  const Write write;
  Mutex mutex;
  CondVar changed;
  std::deque<LogLine> lines GUARDED_BY(mutex);
  bool writing GUARDED_BY(mutex) = false;
  bool closed GUARDED_BY(mutex) = false;
  int64_t dropped GUARDED_BY(mutex) = 0;
  int64_t dropped_told GUARDED_BY(mutex) = 0;
};

LogQueue::LogQueue(Write write, const LogQueueLimits& limits)
    : limits_(limits), shared_(std::make_shared<Shared>(std::move(write))) {
  std::thread([shared = shared_] { Run(*shared); }).detach();
}

LogQueue::~LogQueue() {
  Flush();
  MutexLock lock(shared_->mutex);
  shared_->closed = true;
  shared_->changed.NotifyAll();
}

void LogQueue::Push(LogLine line) {
  MutexLock lock(shared_->mutex);
  if (shared_->lines.size() >= limits_.lines_max) {
    ++shared_->dropped;
    return;
  }
  shared_->lines.push_back(std::move(line));
  shared_->changed.NotifyAll();
}

void LogQueue::Flush() {
  MutexLock lock(shared_->mutex);
  // Each line that is written begins the wait anew.
  while (!shared_->lines.empty() || shared_->writing) {
    if (!shared_->changed.WaitFor(shared_->mutex, limits_.end_wait)) return;
  }
}

int64_t LogQueue::dropped() const {
  MutexLock lock(shared_->mutex);
  return shared_->dropped;
}

void LogQueue::Run(Shared& shared) {
  while (true) {
    LogLine line;
    int64_t dropped = 0;
    {
      MutexLock lock(shared.mutex);
      while (shared.lines.empty() && !shared.closed) shared.changed.Wait(shared.mutex);
      if (shared.closed) return;
      line = std::move(shared.lines.front());
      shared.lines.pop_front();
      shared.writing = true;
      dropped = shared.dropped - std::exchange(shared.dropped_told, shared.dropped);
    }
    shared.write(line);
    if (dropped > 0) {
      line.announced = false;
      line.level = LogLevel::kWarning;
      line.text = absl::StrCat("the log is too slow: ", dropped, " lines were dropped");
      shared.write(line);
    }
    MutexLock lock(shared.mutex);
    shared.writing = false;
    shared.changed.NotifyAll();
  }
}

}  // namespace spillway
