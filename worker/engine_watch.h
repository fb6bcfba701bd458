#pragma once

#include <functional>
#include <thread>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "worker/hang_detector.h"

namespace spillway {

// Looks at each `tick` whether an engine still moves (HangDetector), on a thread of its own
// ("watch").
class EngineWatch {
 public:
  // `sign` is asked on the watch's thread, and so is `hung` called, once, with how long there was
  // no sign. Both must hold until this goes; so must `clock`.
  EngineWatch(const Clock& clock, absl::Duration tick, std::function<EngineSign()> sign,
              std::function<void(absl::Duration)> hung);
  ~EngineWatch();
  EngineWatch(const EngineWatch&) = delete;
  EngineWatch& operator=(const EngineWatch&) = delete;

 private:
  void Run() EXCLUDES(mutex_);

  const Clock& clock_;
  const absl::Duration tick_;
  const std::function<EngineSign()> sign_;
  const std::function<void(absl::Duration)> hung_;
  Mutex mutex_;
  CondVar stopped_changed_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace spillway
