#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "server/http/http_limits.h"

namespace spillway {

// The head of a request as RFC 9112 and RFC 9110 define it. Pure functions of the text.
//
// Where the standard lets a server choose between mending and refusing, this one refuses: a request
// that two servers could read differently is how requests are smuggled past a proxy. So lines end
// in CR LF only, a name stands right before its colon, no line is folded, no control character is
// in a value, and a body has exactly one length.

using HeaderField = std::pair<std::string_view, std::string_view>;

struct RequestHead {
  std::string_view method;
  std::string path;                 // without the query; runs of slashes are one
  std::string query;                // without the question mark
  int version = 11;                 // 10 or 11; a later minor version is read as 1.1
  std::vector<HeaderField> fields;  // with an absolute target, Host is the target's
  bool chunked = false;
  uint64_t content_length = 0;  // if not chunked
  bool keep_alive = true;
  bool expects_continue = false;
};

// Why a request isn't taken; the connection ends with the answer.
struct RequestRefusal {
  int status = 400;
  std::string message;  // for people
};

// `text` is a head from its first character to its empty line, every line of which ends in CR LF.
// The views of the result are into `text`.
//   400 malformed, ambiguous · 414 · 417 unknown expectation · 431 too many fields
//   501 method or transfer coding unknown · 505 not HTTP/1
std::variant<RequestHead, RequestRefusal> ParseRequestHead(std::string_view text,
                                                           const HttpLimits& limits);

// One line of a head or trailer, without its end. nullopt: malformed.
std::optional<HeaderField> ParseFieldLine(std::string_view line);

struct RequestTarget {
  std::string path;
  std::string query;
  std::string_view authority;  // "host:port" of an absolute form, else empty
};

// Splits a request target: "/v1/models?x", "http://host/v1/models", "*". Runs of slashes become
// one, since clients join base addresses and paths carelessly (open-webui issue #12117). nullopt
// when it is none of these.
std::optional<RequestTarget> ParseTarget(std::string_view target);

// "%2F" to "/"; what is no escape stays as it is.
std::string PercentDecode(std::string_view text);

// A client's x-request-id is repeated in headers and logs: visible ASCII, at most 128 characters.
bool IsFitRequestId(std::string_view id);

}  // namespace spillway
