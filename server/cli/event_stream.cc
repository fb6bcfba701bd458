#include "server/cli/event_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {

absl::Status EventStreamReader::Read(std::string_view bytes, std::vector<std::string>& events) {
  for (const char c : bytes) {
    const bool ends_crlf = c == '\n' && std::exchange(after_cr_, c == '\r');
    if (ends_crlf) continue;
    if (c != '\r' && c != '\n') {
      after_cr_ = false;
      line_ += c;
      if (line_.size() + data_.size() > kEventBytesMax) {
        return absl::InvalidArgumentError(
            absl::StrCat("an event of the answer has more than ", kEventBytesMax, " bytes"));
      }
      continue;
    }
    after_cr_ = c == '\r';
    OnLine(std::exchange(line_, {}), events);
  }
  return absl::OkStatus();
}

void EventStreamReader::OnLine(std::string_view line, std::vector<std::string>& events) {
  if (line.empty()) {
    if (std::exchange(has_data_, false)) events.push_back(std::exchange(data_, {}));
    return;
  }
  const size_t colon = line.find(':');
  if (line.substr(0, colon) != "data") return;
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
}

}  // namespace spillway
