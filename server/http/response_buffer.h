#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/http/response_head.h"
#include "server/http/string_memory.h"

namespace spillway {

// The bytes on their way to a client: heads, bodies and what frames them, in order. Pure.
//
// An answer is one SendWhole(), or BeginStream(), writes, and one of EndStream() and AbortStream();
// then the next may begin.
class ResponseBuffer {
 public:
  // An interim answer, such as 100 Continue.
  void SendInterim(std::string_view head) { output_ += head; }
  void SendWhole(std::string_view head, std::string_view body);

  // `head` leaves with the first Flush(). Requires a framing other than kLength.
  void BeginStream(std::string head, BodyFraming framing);
  // Waits for Flush().
  void Write(std::string_view content) { content_ += content; }
  // What was written becomes part of the output: with chunked framing, one chunk.
  void Flush();
  // The output ends as a whole answer does.
  void EndStream();
  // The output ends in the middle of the body; nobody can take it for whole but where the end of
  // the connection is the end of the body: there the connection must be reset.
  void AbortStream();

  // What can leave now.
  std::string_view output() const { return std::string_view(output_).substr(output_begin_); }
  // Its first bytes have left.
  void Sent(size_t bytes);
  // All that hasn't left, flushed or not.
  size_t unsent_bytes() const { return output_.size() - output_begin_ + content_.size(); }
  // What it holds in memory.
  size_t bytes_held() const { return HeapBytes(head_) + HeapBytes(content_) + HeapBytes(output_); }
  // Everything unsent is forgotten.
  void Clear();

 private:
  std::string head_;     // of a stream before its first flush
  std::string content_;  // written, not yet flushed
  BodyFraming framing_ = BodyFraming::kLength;
  std::string output_;
  size_t output_begin_ = 0;  // what stands before has left
};

}  // namespace spillway
