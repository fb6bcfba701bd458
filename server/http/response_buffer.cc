#include "server/http/response_buffer.h"

#include <utility>

#include "common/check.h"

namespace spillway {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";
// Kept when nothing is unsent, so that a stream doesn't allocate at each step.
constexpr size_t kCapacityKept = 4u << 10;

}  // namespace

void ResponseBuffer::SendWhole(std::string_view head, std::string_view body) {
  output_ += head;
  output_ += body;
}

void ResponseBuffer::BeginStream(std::string head, BodyFraming framing) {
  CHECK(framing != BodyFraming::kLength);
  CHECK(head_.empty() && content_.empty());
  head_ = std::move(head);
  framing_ = framing;
}

void ResponseBuffer::Flush() {
  output_ += head_;
  ReleaseMemory(head_);
  if (content_.empty()) return;
  const bool chunked = framing_ == BodyFraming::kChunked;
  if (chunked) output_ += FormatChunkSize(content_.size());
  output_ += content_;
  if (chunked) output_ += kLineEnd;
  content_.clear();
  if (content_.capacity() > kCapacityKept) ReleaseMemory(content_);
}

void ResponseBuffer::EndStream() {
  Flush();
  if (framing_ == BodyFraming::kChunked) output_ += kLastChunk;
}

void ResponseBuffer::AbortStream() { Flush(); }

void ResponseBuffer::Sent(size_t bytes) {
  CHECK(bytes <= output_.size() - output_begin_);
  output_begin_ += bytes;
  if (output_begin_ == output_.size()) {
    output_begin_ = 0;
    output_.clear();
    if (output_.capacity() > kCapacityKept) ReleaseMemory(output_);
  } else if (output_begin_ > output_.size() / 2) {
    output_.erase(0, output_begin_);
    output_begin_ = 0;
  }
}

void ResponseBuffer::Clear() {
  ReleaseMemory(head_);
  ReleaseMemory(content_);
  ReleaseMemory(output_);
  output_begin_ = 0;
}

}  // namespace spillway
