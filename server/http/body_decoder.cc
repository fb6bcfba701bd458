#include "server/http/body_decoder.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The number that `line` begins with; `digits` is how long it is. nullopt: none, or beyond 64 bits.
std::optional<uint64_t> ParseChunkSize(std::string_view line, size_t& digits) {
  uint64_t size = 0;
  for (digits = 0; digits < line.size() && HexDigit(line[digits]) >= 0; ++digits) {
    if (size > std::numeric_limits<uint64_t>::max() >> 4) return std::nullopt;
    size = size << 4 | static_cast<uint64_t>(HexDigit(line[digits]));
  }
  return digits == 0 ? std::nullopt : std::optional(size);
}

// What may follow a chunk's size: nothing, or extensions, which begin with a semicolon that spaces
// may precede. A control character in it could end a line for somebody else.
bool IsChunkExtension(std::string_view text) {
  if (text.empty()) return true;
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos || text[begin] != ';') return false;
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

}  // namespace

BodyDecoder::BodyDecoder(const RequestHead& head, const HttpLimits& limits)
    : limits_(limits), state_(State::kChunkLine), body_bytes_max_(limits.body_bytes_max) {
  if (head.chunked) return;
  state_ = head.content_length == 0 ? State::kDone : State::kFixed;
  data_left_ = head.content_length;
  Announce(head.content_length);
}

size_t BodyDecoder::Decode(std::string_view bytes, std::string& body) {
  size_t taken = 0;
  while (taken < bytes.size() && !done() && !refused()) {
    const std::string_view rest = bytes.substr(taken);
    const bool data = state_ == State::kFixed || state_ == State::kChunkData;
    taken += data ? TakeData(rest, body) : TakeLine(rest);
  }
  return taken;
}

void BodyDecoder::Discard() {
  discarding_ = true;
  body_bytes_max_ = std::min(body_bytes_max_, limits_.refused_body_bytes_max);
  if (!done() && !refused()) Announce(0);
}

size_t BodyDecoder::TakeData(std::string_view bytes, std::string& body) {
  const size_t count = static_cast<size_t>(std::min<uint64_t>(bytes.size(), data_left_));
  if (!discarding_) body.append(bytes.substr(0, count));
  data_left_ -= count;
  if (data_left_ == 0) state_ = state_ == State::kFixed ? State::kDone : State::kChunkEnd;
  return count;
}

size_t BodyDecoder::TakeLine(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  const size_t count = end == std::string_view::npos ? bytes.size() : end + 1;
  line_.append(bytes.substr(0, count));
  // Also of a line that isn't whole: it must not be gathered without end.
  if (line_.size() > limits_.chunk_line_bytes_max) {
    Refuse(400, absl::StrCat("a line between the chunks of the body is over ",
                             limits_.chunk_line_bytes_max, " bytes"));
    return count;
  }
  if (end == std::string_view::npos) return count;
  std::string line;
  line.swap(line_);
  if (line.size() < 2 || line[line.size() - 2] != '\r') {
    Refuse(400, "a line between the chunks of the body doesn't end in CR LF");
    return count;
  }
  line.resize(line.size() - 2);
  if (state_ == State::kChunkLine) {
    OnChunkLine(line);
  } else if (state_ == State::kTrailerLine) {
    OnTrailerLine(line);
  } else if (line.empty()) {
    state_ = State::kChunkLine;
  } else {
    Refuse(400, "a chunk of the body is longer than it says");
  }
  return count;
}

void BodyDecoder::OnChunkLine(std::string_view line) {
  size_t digits = 0;
  const std::optional<uint64_t> size = ParseChunkSize(line, digits);
  if (!size || !IsChunkExtension(line.substr(digits))) {
    return Refuse(400, "a chunk of the body has no size");
  }
  // Leading zeros count: they are another way to send much and say nothing.
  overhead_bytes_ += line.size();
  if (digits <= 8) overhead_bytes_ -= digits;
  if (overhead_bytes_ > limits_.chunk_overhead_bytes_max) {
    return Refuse(400, absl::StrCat("the body's chunk extensions are over ",
                                    limits_.chunk_overhead_bytes_max, " bytes"));
  }
  if (*size == 0) {
    state_ = State::kTrailerLine;
    return;
  }
  data_left_ = *size;
  state_ = State::kChunkData;
  Announce(*size);
}

void BodyDecoder::OnTrailerLine(std::string_view line) {
  if (line.empty()) {
    state_ = State::kDone;
    return;
  }
  overhead_bytes_ += line.size();
  if (++trailers_ > limits_.fields_max || overhead_bytes_ > limits_.chunk_overhead_bytes_max) {
    return Refuse(400, "the body has too many trailers");
  }
  if (!ParseFieldLine(line)) Refuse(400, "a trailer of the body is malformed");
}

void BodyDecoder::Announce(uint64_t bytes) {
  if (body_bytes_ > body_bytes_max_ || bytes > body_bytes_max_ - body_bytes_) {
    return Refuse(413, absl::StrCat("the body is over ", body_bytes_max_, " bytes"));
  }
  body_bytes_ += bytes;
}

void BodyDecoder::Refuse(int status, std::string message) {
  CHECK(state_ != State::kDone);
  state_ = State::kRefused;
  refusal_ = {status, std::move(message)};
}

}  // namespace spillway
