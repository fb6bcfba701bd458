#include "server/http/http_head.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace spillway {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void AppendHeader(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (char c : value) {
    if (c != '\r' && c != '\n' && c != '\0') out.push_back(c);
  }
  out.append("\r\n");
}

}  // namespace

RequestTarget ParseTarget(std::string_view target) {
  if (const size_t scheme = target.find("://"); scheme != std::string_view::npos &&
                                                target.front() != '/' &&
                                                target.find_first_of("/?") > scheme) {
    const size_t path = target.find_first_of("/?", scheme + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  RequestTarget parsed;
  if (const size_t question = target.find('?'); question != std::string_view::npos) {
    parsed.query = target.substr(question + 1);
    target = target.substr(0, question);
  }
  if (target.empty() || (target.front() != '/' && target != "*")) parsed.path = "/";
  for (char c : target) {
    if (c != '/' || parsed.path.empty() || parsed.path.back() != '/') parsed.path.push_back(c);
  }
  return parsed;
}

std::string PercentDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool IsFitRequestId(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  for (char c : id) {
    if (c < 0x21 || c > 0x7e) return false;
  }
  return true;
}

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
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
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
