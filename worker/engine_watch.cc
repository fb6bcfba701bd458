#include "worker/engine_watch.h"

#include <utility>

namespace spillway {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);

}  // namespace

EngineWatch::EngineWatch(const Clock& clock, std::function<EngineSign()> sign,
                         std::function<void(absl::Duration)> hung)
    : clock_(clock), sign_(std::move(sign)), hung_(std::move(hung)), thread_([this] { Run(); }) {}

EngineWatch::~EngineWatch() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  stopped_changed_.NotifyAll();
  thread_.join();
}

void EngineWatch::Run() {
  HangDetector detector(kTick);
  while (true) {
    {
      MutexLock lock(mutex_);
      if (!stopped_) stopped_changed_.WaitFor(mutex_, kTick);
      if (stopped_) return;
    }
    if (const auto silence = detector.Look(sign_(), clock_.Now()); silence.has_value()) {
      hung_(*silence);
      return;
    }
  }
}

}  // namespace spillway
