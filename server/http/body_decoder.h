#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/http/http_limits.h"
#include "server/http/request_head.h"

namespace spillway {

// Takes a request's body out of what follows its head: so many bytes, or chunks (RFC 9112 section
// 7.1). Extensions of chunks are checked for their length only and dropped; trailers must be well
// formed and are dropped. Lines end in CR LF only.
//
// Pure and incremental: however the bytes are cut, the result is the same.
class BodyDecoder {
 public:
  // `limits` must outlive it.
  BodyDecoder(const RequestHead& head, const HttpLimits& limits);

  // Takes bytes from the front and appends what is content to `body`; how many it took. It takes
  // nothing that follows the body, and nothing once it is done or has refused.
  size_t Decode(std::string_view bytes, std::string& body);

  // From now on content is dropped instead of appended, and refused_body_bytes_max is its limit.
  void Discard();

  bool done() const { return state_ == State::kDone; }
  bool refused() const { return state_ == State::kRefused; }
  // Why, if it has: 400 or 413.
  const RequestRefusal& refusal() const { return refusal_; }

 private:
  enum class State { kFixed, kChunkLine, kChunkData, kChunkEnd, kTrailerLine, kDone, kRefused };

  size_t TakeData(std::string_view bytes, std::string& body);
  size_t TakeLine(std::string_view bytes);
  void OnChunkLine(std::string_view line);
  void OnTrailerLine(std::string_view line);
  // So many more are to come.
  void Announce(uint64_t bytes);
  void Refuse(int status, std::string message);

  const HttpLimits& limits_;
  State state_;
  size_t body_bytes_max_;
  bool discarding_ = false;
  uint64_t body_bytes_ = 0;    // announced so far
  uint64_t data_left_ = 0;     // of the fixed length, or of this chunk
  size_t overhead_bytes_ = 0;  // of extensions and trailers
  size_t trailers_ = 0;
  std::string line_;  // the beginning of a line
  RequestRefusal refusal_;
};

}  // namespace spillway
