#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace spillway {

// Takes the data of server-sent events (WHATWG HTML, section 9.2) out of a stream. Comments, and
// fields but `data`, are skipped. Pure and incremental.
class EventStreamReader {
 public:
  // Of one event, lines that are not yet complete included.
  static constexpr size_t kEventBytesMax = 8 << 20;

  // Appends the data of each event that is complete. INVALID_ARGUMENT: an event beyond the limit.
  absl::Status Read(std::string_view bytes, std::vector<std::string>& events);

 private:
  void OnLine(std::string_view line, std::vector<std::string>& events);

  std::string line_;
  bool after_cr_ = false;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace spillway
