#include "worker/engine_watch.h"

#include <utility>

namespace spillway {

EngineWatch::EngineWatch(const Clock& clock, absl::Duration tick, std::function<EngineSign()> sign,
                         std::function<void(absl::Duration)> hung)
    : clock_(clock), tick_(tick), sign_(std::move(sign)), hung_(std::move(hung)), thread_([this] {
        Run();
      }) {}

EngineWatch::~EngineWatch() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  stopped_changed_.NotifyAll();
  thread_.join();
}

void EngineWatch::Run() {
  HangDetector detector(tick_);
  while (true) {
    {
      MutexLock lock(mutex_);
      if (!stopped_) stopped_changed_.WaitFor(mutex_, tick_);
      if (stopped_) return;
    }
    if (const auto silence = detector.Look(sign_(), clock_.Now()); silence.has_value()) {
      hung_(*silence);
      return;
    }
  }
}

}  // namespace spillway
