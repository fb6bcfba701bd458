#include "common/event_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {

absl::Status EventStreamReader::Read(std::string_view bytes, std::vector<ServerSentEvent>& events) {
  while (!bytes.empty()) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    line_ += bytes.substr(0, end);
    if (line_.size() + event_.data.size() + event_.event.size() + event_.comment.size() >
        event_bytes_max_) {
      return absl::InvalidArgumentError(
          absl::StrCat("an event of the answer has more than ", event_bytes_max_, " bytes"));
    }
    if (end == bytes.size()) break;
    after_cr_ = bytes[end] == '\r';
    OnLine(line_, events);
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
  return absl::OkStatus();
}

void EventStreamReader::OnLine(std::string_view line, std::vector<ServerSentEvent>& events) {
  if (line.empty()) {
    if (std::exchange(has_data_, false)) events.push_back(std::move(event_));
    event_ = {};
    return;
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) event_.data += '\n';
    event_.data += value;
    has_data_ = true;
  } else if (field == "event") {
    event_.event = value;
  } else if (field.empty()) {
    event_.comment = value;
  }
}

}  // namespace spillway
