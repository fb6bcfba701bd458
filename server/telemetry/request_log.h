#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "common/logging.h"
#include "router/request_observer.h"

namespace spillway {

// One request as one line of key=value words, which people read and programs cut at spaces
// (docs/front_door.md has the keys). Never a prompt, a token or a key.
std::string FormatRequestLine(const RequestSummary& summary);

// Writes the line of each request, as a warning where it is the server's failure.
//
// Thread-safe: all shards share it.
class RequestLog : public RequestObserver {
 public:
  using Write = std::function<void(LogLevel level, std::string_view line)>;

  // `write` is called on the shards' threads and must not block.
  explicit RequestLog(Write write) : write_(std::move(write)) {}

  void OnRequestEnd(const RequestSummary& summary) override;

 private:
  const Write write_;
};

}  // namespace spillway
