#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/http_types.h"

namespace spillway {

// Keeps what an answer wrote.
class RecordingWriter : public ResponseWriter {
 public:
  void Send(HttpResponse response_in) override { response = std::move(response_in); }
  void BeginStream(std::string_view content_type_in,
                   const std::vector<HttpHeader>& headers_in) override {
    began = true;
    content_type = content_type_in;
    headers = headers_in;
  }
  void Write(std::string_view events) override { unflushed += events; }
  void Flush() override {
    if (!unflushed.empty()) writes.push_back(std::exchange(unflushed, {}));
  }
  void EndStream() override {
    Flush();
    ended = true;
  }
  void AbortStream() override {
    Flush();
    aborted = true;
  }
  void WakeAfter(absl::Duration delay) override { wake_after = delay; }

  std::string AllWritten() const {
    std::string all;
    for (const std::string& write : writes) all += write;
    return all;
  }

  std::optional<HttpResponse> response;
  bool began = false;
  std::string content_type;
  std::vector<HttpHeader> headers;
  std::string unflushed;
  std::vector<std::string> writes;
  bool ended = false;
  bool aborted = false;
  std::optional<absl::Duration> wake_after;
};

}  // namespace spillway
