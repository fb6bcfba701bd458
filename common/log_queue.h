#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/logging.h"

namespace spillway {

struct LogLine {
  std::chrono::system_clock::time_point time;
  LogLevel level = LogLevel::kInfo;
  std::string text;
  bool announced = false;  // Announce()
};

struct LogQueueLimits {
  size_t lines_max = 4096;                     // not yet written; what is over is dropped and told
  absl::Duration end_wait = absl::Seconds(1);  // for a line to be written, at the end
};

// Lines on their way to a terminal, a pipe or a file. A thread of its own ("log") writes, so that
// whoever stands still at the other end, or a disk that is slow, holds up nothing else.
//
// Thread-safe.
class LogQueue {
 public:
  using Write = std::function<void(const LogLine& line)>;

  // `write` is called on the log's thread alone and may block for ever: then it is called no more
  // and lives as long as the process.
  explicit LogQueue(Write write, const LogQueueLimits& limits = {});
  ~LogQueue();  // Flush()
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Never blocks.
  void Push(LogLine line);

  // Waits until all lines are written, or none was for `end_wait`.
  void Flush();

  // Since the beginning.
  int64_t dropped() const;

 private:
  struct Shared;  // with the thread, which may outlive this
  static void Run(Shared& shared);

  const LogQueueLimits limits_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace spillway
