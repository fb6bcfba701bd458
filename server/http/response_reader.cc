#include "server/http/response_reader.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr int kInterimAnswersMax = 16;

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

absl::Status NotHttp(std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the server's answer is not HTTP: ", ToAbsl(what)));
}

// "HTTP/1.1 200 OK"; 0: it is none.
int StatusOf(std::string_view line) {
  if (line.size() < 12 || line.substr(0, 7) != "HTTP/1." || line[8] != ' ') return 0;
  if (line.size() > 12 && line[12] != ' ') return 0;
  int status = 0;
  if (!absl::SimpleAtoi(ToAbsl(line.substr(9, 3)), &status)) return 0;
  return status >= 100 && status <= 599 ? status : 0;
}

}  // namespace

absl::Status ResponseReader::Read(std::string_view bytes, std::string& body) {
  while (!head_done() && !bytes.empty()) {
    // The end may be cut in two.
    const size_t searched = head_.size() < kHeadEnd.size() ? 0 : head_.size() - kHeadEnd.size();
    const size_t had = head_.size();
    head_ += bytes;
    const size_t end = head_.find(kHeadEnd, searched);
    if (end == std::string::npos) {
      if (head_.size() > limits_.head_bytes_max) return NotHttp("its head has no end");
      return absl::OkStatus();
    }
    bytes.remove_prefix(end + kHeadEnd.size() - had);
    const std::string head = head_.substr(0, end + 2);
    head_.clear();
    RETURN_IF_ERROR(ReadHead(head));
  }
  if (until_close_) {
    body_bytes_ += bytes.size();
    if (body_bytes_ > limits_.body_bytes_max) return NotHttp("its body is too large");
    body += bytes;
    return absl::OkStatus();
  }
  if (!body_.has_value()) return absl::OkStatus();
  surplus_ = surplus_ || body_->Decode(bytes, body) < bytes.size();
  return body_->refused() ? NotHttp(body_->refusal().message) : absl::OkStatus();
}

absl::Status ResponseReader::End() const {
  if (done() || until_close_) return absl::OkStatus();
  return absl::DataLossError("the server closed the connection before its answer was complete");
}

std::optional<std::string_view> ResponseReader::Header(std::string_view name) const {
  for (const HttpHeader& header : headers_) {
    if (absl::EqualsIgnoreCase(header.name, ToAbsl(name))) return header.value;
  }
  return std::nullopt;
}

// `head`: all lines, each with its end.
absl::Status ResponseReader::ReadHead(std::string_view head) {
  const size_t first_end = head.find("\r\n");
  http_status_ = StatusOf(head.substr(0, first_end));
  if (http_status_ == 0) return NotHttp("it doesn't begin with a status line");
  headers_.clear();
  for (std::string_view rest = head.substr(first_end + 2); !rest.empty();) {
    const size_t end = rest.find("\r\n");
    const std::optional<HeaderField> field = ParseFieldLine(rest.substr(0, end));
    if (!field) return NotHttp("one of its header lines is malformed");
    headers_.push_back({std::string(field->first), std::string(field->second)});
    rest.remove_prefix(end + 2);
  }
  if (http_status_ < 200) {
    const bool too_many = ++interim_answers_ > kInterimAnswersMax;
    // 101 would be another protocol, which nobody asked for.
    return too_many || http_status_ == 101 ? NotHttp("it doesn't come to its answer")
                                           : absl::OkStatus();
  }
  const std::string_view connection = Header("Connection").value_or("");
  keeps_alive_ = head[7] != '0'
                     ? !absl::StrContains(absl::AsciiStrToLower(ToAbsl(connection)), "close")
                     : absl::EqualsIgnoreCase(ToAbsl(connection), "keep-alive");
  return ReadFraming();
}

absl::Status ResponseReader::ReadFraming() {
  RequestHead framing;
  int lengths = 0;
  for (const HttpHeader& header : headers_) {
    if (absl::EqualsIgnoreCase(header.name, "Content-Length")) ++lengths;
  }
  if (const auto coding = Header("Transfer-Encoding")) {
    if (!absl::EqualsIgnoreCase(ToAbsl(*coding), "chunked")) {
      return NotHttp("its transfer coding is unknown");
    }
    framing.chunked = true;
    if (lengths > 0) keeps_alive_ = false;
  } else if (const auto length = Header("Content-Length")) {
    if (lengths > 1 || !absl::SimpleAtoi(ToAbsl(*length), &framing.content_length)) {
      return NotHttp("its length is no number");
    }
  } else if (http_status_ != 204 && http_status_ != 304) {
    until_close_ = true;
    return absl::OkStatus();
  }
  body_.emplace(framing, limits_);
  return absl::OkStatus();
}

}  // namespace spillway
