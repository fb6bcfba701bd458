#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/body_decoder.h"
#include "server/http/http_limits.h"
#include "server/http/request_head.h"
#include "server/http/string_memory.h"

namespace spillway {

// Reads one request from the bytes of a connection: first its head, then its body.
//
// Pure and incremental: however the bytes are cut, the result is the same. What is wrong is known
// at the line that is wrong, not at the end of the head. Not movable: the head's views are into it.
class RequestReader {
 public:
  enum class State {
    kEmpty,  // nothing of a request yet
    kHead,
    kBody,
    kComplete,
    kRefused,
  };

  // `limits` must outlive it.
  explicit RequestReader(const HttpLimits& limits) : limits_(limits) {}
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // Takes bytes from the front; how many. It stops behind the head, so that the head can be judged
  // before the body is taken, and behind the request.
  size_t Read(std::string_view bytes);

  // From now on the body is dropped as it comes. Requires the head.
  void DiscardBody();

  State state() const { return state_; }
  // Requires kBody or kComplete.
  const RequestHead& head() const { return *head_; }
  const std::string& body() const { return body_; }
  // Requires kRefused.
  const RequestRefusal& refusal() const { return refusal_; }

  // What it holds in memory.
  size_t bytes_held() const { return HeapBytes(head_text_) + HeapBytes(body_); }

 private:
  size_t ReadHead(std::string_view bytes);
  void OnHead();
  void OnBodyDecoded();
  void Refuse(RequestRefusal refusal);

  const HttpLimits& limits_;
  State state_ = State::kEmpty;
  std::string head_text_;
  size_t line_begin_ = 0;            // of the line that isn't whole yet, in head_text_
  std::optional<RequestHead> head_;  // views into head_text_
  std::optional<BodyDecoder> decoder_;
  std::string body_;
  RequestRefusal refusal_;
};

}  // namespace spillway
