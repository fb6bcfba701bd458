#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "server/http/http_types.h"

namespace spillway {

// The text of heads: pure functions of the connection.

struct RequestTarget {
  std::string path;
  std::string query;
};

// Splits a request target. Runs of slashes become one, since clients join base addresses and
// paths carelessly (open-webui issue #12117); an absolute form loses its scheme and host.
RequestTarget ParseTarget(std::string_view target);

// "%2F" to "/"; what is no escape stays as it is.
std::string PercentDecode(std::string_view text);

// A client's x-request-id is repeated in headers and logs: visible ASCII, at most 128 characters.
bool IsFitRequestId(std::string_view id);

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
