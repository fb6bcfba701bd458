#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/http/body_decoder.h"
#include "server/http/http_limits.h"
#include "server/http/http_types.h"
#include "server/http/request_head.h"

namespace spillway {

// Takes a server's answer (RFC 9112) out of the bytes of a connection. Pure and incremental:
// however the bytes are cut, the result is the same. Interim answers (100 Continue) are skipped, a
// few of them.
class ResponseReader {
 public:
  // `limits` must outlive it: its head and body limits are those of the answer.
  explicit ResponseReader(const HttpLimits& limits) : limits_(limits) {}
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  // Appends what is content to `body`. Bytes behind the answer are dropped.
  // INVALID_ARGUMENT: this is no HTTP, or beyond the limits; nothing more may be read.
  absl::Status Read(std::string_view bytes, std::string& body);

  // The server has closed the connection. DATA_LOSS: the answer isn't whole.
  absl::Status End() const;

  bool head_done() const { return body_.has_value() || until_close_; }
  bool done() const { return body_.has_value() && body_->done(); }
  int status() const { return http_status_; }
  // Once it is done: whether the connection may carry another request. Not if anything came behind
  // the answer, or if its length was told in two ways.
  bool connection_is_reusable() const { return done() && keeps_alive_ && !surplus_; }
  // The first header of that name, in any case.
  std::optional<std::string_view> Header(std::string_view name) const;

 private:
  absl::Status ReadHead(std::string_view head);
  absl::Status ReadFraming();

  const HttpLimits& limits_;
  std::string head_;  // received so far
  int http_status_ = 0;
  std::vector<HttpHeader> headers_;
  std::optional<BodyDecoder> body_;
  bool until_close_ = false;
  bool keeps_alive_ = false;
  bool surplus_ = false;  // bytes behind the answer
  int interim_answers_ = 0;
  uint64_t body_bytes_ = 0;  // of one until the close
};

}  // namespace spillway
