#include "server/http/response_head.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace spillway {
namespace {

void AppendHeader(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (char c : value) {
    if (c != '\r' && c != '\n' && c != '\0') out.push_back(c);
  }
  out.append("\r\n");
}

}  // namespace

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 450:
      return "Instance Queue Full";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::string FormatHttpDate(absl::Time wall_time) {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", wall_time, absl::UTCTimeZone());
}

std::string FormatHead(const ResponseHead& head, const std::vector<HttpHeader>& headers) {
  std::string out;
  out.reserve(384);
  absl::StrAppend(&out, head.http_version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ", head.status, " ");
  out.append(ReasonPhrase(head.status)).append("\r\n");
  if (!head.date.empty()) AppendHeader(out, "Date", head.date);
  if (!head.content_type.empty()) AppendHeader(out, "Content-Type", head.content_type);
  if (head.framing == BodyFraming::kChunked) out.append("Transfer-Encoding: chunked\r\n");
  // RFC 9110 section 8.6: no Content-Length with 1xx and 204.
  if (head.framing == BodyFraming::kLength && head.status >= 200 && head.status != 204) {
    absl::StrAppend(&out, "Content-Length: ", head.body_bytes, "\r\n");
  }
  if (!head.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (head.http_version == 10) {
    out.append("Connection: keep-alive\r\n");
  }
  if (!head.request_id.empty()) AppendHeader(out, "x-request-id", head.request_id);
  if (head.any_origin) {
    out.append("Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: x-request-id\r\n");
  }
  for (const HttpHeader& header : headers) AppendHeader(out, header.name, header.value);
  out.append("\r\n");
  return out;
}

std::string FormatChunkSize(size_t bytes) { return absl::StrFormat("%x\r\n", bytes); }

}  // namespace spillway
