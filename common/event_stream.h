#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace spillway {

struct ServerSentEvent {
  std::string data;
  std::string event;    // its name; empty: none was given
  std::string comment;  // the last one within it: DashScope tells a status there
};

// Takes server-sent events (WHATWG HTML, section 9.2) out of a stream. Events without data, and
// other fields, are skipped. Pure and incremental: however the bytes are cut, the result is the
// same.
class EventStreamReader {
 public:
  // Of one event's fields, of the line that is not yet complete among them.
  static constexpr size_t kEventBytesMax = 8 << 20;

  explicit EventStreamReader(size_t event_bytes_max = kEventBytesMax)
      : event_bytes_max_(event_bytes_max) {}

  // Appends each event that is complete. INVALID_ARGUMENT: an event beyond the limit; nothing more
  // may be read.
  absl::Status Read(std::string_view bytes, std::vector<ServerSentEvent>& events);

  // Nothing of an event that is not complete has come.
  bool between_events() const { return line_.empty() && !has_data_; }

 private:
  void OnLine(std::string_view line, std::vector<ServerSentEvent>& events);

  const size_t event_bytes_max_;
  std::string line_;
  bool after_cr_ = false;
  ServerSentEvent event_;
  bool has_data_ = false;
};

}  // namespace spillway
