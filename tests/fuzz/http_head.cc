// Heads of requests, as strangers may send them. Whatever is taken must be unambiguous: read again
// from what it was understood to be, it says the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/check.h"
#include "server/http/request_head.h"

namespace {

using spillway::RequestHead;

void CheckHead(const RequestHead& head, const spillway::HttpLimits& limits) {
  CHECK(!head.method.empty());
  CHECK(head.path == "*" || head.path.front() == '/');
  CHECK(head.path.find("//") == std::string::npos);
  CHECK(head.version == 10 || head.version == 11);
  CHECK(head.fields.size() <= limits.fields_max + 1);  // and the Host of an absolute target
  CHECK(!head.chunked || head.content_length == 0);
  int hosts = 0;
  for (const auto& [name, value] : head.fields) {
    CHECK(!name.empty());
    CHECK(name.find_first_of(": \t\r\n") == std::string_view::npos);
    CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    hosts += name.size() == 4 && (name[0] == 'H' || name[0] == 'h') && (name[3] | 32) == 't' &&
             (name[1] | 32) == 'o' && (name[2] | 32) == 's';
  }
  CHECK(hosts == 1 || (hosts == 0 && head.version == 10));
}

// What a proxy behind us would be sent.
std::string Rewrite(const RequestHead& head) {
  std::string text(head.method);
  text += " " + head.path + (head.query.empty() ? "" : "?" + head.query);
  text += head.version == 10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
  for (const auto& [name, value] : head.fields) {
    text.append(name).append(": ").append(value).append("\r\n");
  }
  return text + "\r\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  text += "\r\n\r\n";
  spillway::HttpLimits limits;
  limits.fields_max = 20;
  limits.target_bytes_max = 200;
  const auto parsed = spillway::ParseRequestHead(text, limits);
  if (const auto* refusal = std::get_if<spillway::RequestRefusal>(&parsed)) {
    CHECK(refusal->status >= 400 && refusal->status <= 505 && !refusal->message.empty());
    return 0;
  }
  const RequestHead& head = std::get<RequestHead>(parsed);
  CheckHead(head, limits);
  limits.fields_max += 1;
  const std::string rewritten = Rewrite(head);
  const auto again = spillway::ParseRequestHead(rewritten, limits);
  CHECK(std::holds_alternative<RequestHead>(again));
  const RequestHead& second = std::get<RequestHead>(again);
  CHECK(second.method == head.method && second.path == head.path && second.query == head.query);
  CHECK(second.fields == head.fields && second.version == head.version);
  CHECK(second.chunked == head.chunked && second.content_length == head.content_length);
  CHECK(second.keep_alive == head.keep_alive);
  return 0;
}
