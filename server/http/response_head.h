#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "server/http/http_types.h"

namespace spillway {

// The text of an answer's head and of what frames its body. Pure functions.

std::string_view ReasonPhrase(int status);

// "Sat, 21 Nov 2026 10:00:00 GMT", RFC 9110 section 5.6.7.
std::string FormatHttpDate(absl::Time wall_time);

enum class BodyFraming { kLength, kChunked, kUntilClose };

struct ResponseHead {
  int status = 200;
  int http_version = 11;  // of the request: 10 or 11
  std::string_view content_type = {};
  BodyFraming framing = BodyFraming::kLength;
  size_t body_bytes = 0;  // with kLength
  bool keep_alive = true;
  bool any_origin = false;
  std::string_view date = {};
  std::string_view request_id = {};
};

// From the status line to the empty line. Characters that could end a header line are dropped from
// `headers`' values.
std::string FormatHead(const ResponseHead& head, const std::vector<HttpHeader>& headers);

// "1a\r\n", the line before a chunk.
std::string FormatChunkSize(size_t bytes);

}  // namespace spillway
