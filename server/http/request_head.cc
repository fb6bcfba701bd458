#include "server/http/request_head.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(ToAbsl(a), ToAbsl(b));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlnum(char c) { return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsSpace(char c) { return c == ' ' || c == '\t'; }

// RFC 9110 section 5.6.2.
bool IsToken(std::string_view text) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAlnum(c) || kMarks.find(c) != std::string_view::npos;
  });
}

// No control character but the tab; bytes over 127 are allowed (RFC 9110 section 5.5).
bool IsFieldValue(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

bool IsAuthority(std::string_view text) {
  static constexpr std::string_view kMarks = "-._~!$&'()*+,;=%[]:";
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlnum(c) || kMarks.find(c) != std::string_view::npos; });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// Takes what stands before `separator`, or all, from the front of `text`.
std::string_view TakeUntil(std::string_view& text, std::string_view separator) {
  const size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view() : text.substr(at + separator.size());
  return taken;
}

// The elements of all fields of that name, empty ones too, as one list.
std::vector<std::string_view> ListOf(const RequestHead& head, std::string_view name) {
  std::vector<std::string_view> elements;
  for (const auto& [field, value] : head.fields) {
    if (!EqualsIgnoringCase(field, name)) continue;
    size_t begin = 0;
    while (begin <= value.size()) {
      const size_t comma = std::min(value.find(',', begin), value.size());
      elements.push_back(Trim(value.substr(begin, comma - begin)));
      begin = comma + 1;
    }
  }
  return elements;
}

bool ListHas(const std::vector<std::string_view>& list, std::string_view element) {
  return std::any_of(list.begin(), list.end(),
                     [&](std::string_view one) { return EqualsIgnoringCase(one, element); });
}

using MaybeRefusal = std::optional<RequestRefusal>;

RequestRefusal Refuse(int status, std::string message) { return {status, std::move(message)}; }

MaybeRefusal ParseVersion(std::string_view version, RequestHead& head) {
  const bool well_formed = version.size() == 8 && version.substr(0, 5) == "HTTP/" &&
                           IsDigit(version[5]) && version[6] == '.' && IsDigit(version[7]);
  if (!well_formed)
    return Refuse(400, "this is not an HTTP request: its first line has no version");
  if (version[5] != '1') return Refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  head.version = version[7] == '0' ? 10 : 11;
  return std::nullopt;
}

// "GET /path HTTP/1.1"; gives the authority of an absolute target.
MaybeRefusal ParseRequestLine(std::string_view line, const HttpLimits& limits, RequestHead& head,
                              std::string_view& authority) {
  constexpr std::array<std::string_view, 7> kMethods = {"GET",    "HEAD",  "POST",   "PUT",
                                                        "DELETE", "PATCH", "OPTIONS"};
  head.method = TakeUntil(line, " ");
  const std::string_view target = TakeUntil(line, " ");
  if (!IsToken(head.method) || target.empty()) {
    return Refuse(400, "this is not an HTTP request: its first line is not METHOD TARGET VERSION");
  }
  if (MaybeRefusal refusal = ParseVersion(line, head)) return refusal;
  if (std::find(kMethods.begin(), kMethods.end(), head.method) == kMethods.end()) {
    return Refuse(501, absl::StrCat("the method ", std::string(head.method.substr(0, 20)),
                                    " is not known here"));
  }
  if (target.size() > limits.target_bytes_max) {
    return Refuse(414,
                  absl::StrCat("the request target is over ", limits.target_bytes_max, " bytes"));
  }
  std::optional<RequestTarget> parsed = ParseTarget(target);
  if (!parsed || (target == "*" && head.method != "OPTIONS")) {
    return Refuse(400, "the request target is neither a path nor an http address");
  }
  head.path = std::move(parsed->path);
  head.query = std::move(parsed->query);
  authority = parsed->authority;
  return std::nullopt;
}

MaybeRefusal ParseFields(std::string_view text, const HttpLimits& limits, RequestHead& head) {
  while (!text.empty()) {
    const std::string_view line = TakeUntil(text, kLineEnd);
    if (head.fields.size() == limits.fields_max) {
      return Refuse(431, absl::StrCat("there are more than ", limits.fields_max, " header lines"));
    }
    if (!line.empty() && IsSpace(line.front())) {
      return Refuse(400, "a header line begins with a space: folded lines are not taken");
    }
    const std::optional<HeaderField> field = ParseFieldLine(line);
    if (!field) {
      return Refuse(400, absl::StrCat("header line ", head.fields.size() + 1,
                                      " is malformed: it must be NAME: VALUE, without a space "
                                      "before the colon and without control characters"));
    }
    head.fields.push_back(*field);
  }
  return std::nullopt;
}

// RFC 9112 section 3.2: one Host, which the authority of an absolute target replaces.
MaybeRefusal SettleHost(std::string_view authority, RequestHead& head) {
  HeaderField* host = nullptr;
  for (HeaderField& field : head.fields) {
    if (!EqualsIgnoringCase(field.first, "Host")) continue;
    if (host != nullptr) return Refuse(400, "there is more than one Host header");
    host = &field;
  }
  if (host == nullptr && head.version == 11) {
    return Refuse(400, "an HTTP/1.1 request needs a Host header");
  }
  if (host != nullptr && !IsAuthority(host->second)) {
    return Refuse(400, "the Host header is not a host and port");
  }
  if (authority.empty()) return std::nullopt;
  if (host != nullptr) {
    host->second = authority;
  } else {
    head.fields.emplace_back("Host", authority);
  }
  return std::nullopt;
}

// It is no list: the same length twice is refused like two that differ.
MaybeRefusal ParseContentLength(std::string_view text, RequestHead& head) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), IsDigit)) {
    return Refuse(400, "Content-Length is not a number");
  }
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  uint64_t length = 0;
  for (const char c : text) {
    const auto digit = static_cast<uint64_t>(c - '0');
    if (length > (kMax - digit) / 10) return Refuse(400, "Content-Length is beyond all measure");
    length = length * 10 + digit;
  }
  head.content_length = length;
  return std::nullopt;
}

// RFC 9112 section 6: what the body's length is, if that is beyond doubt.
MaybeRefusal SettleBodyLength(RequestHead& head) {
  std::vector<std::string_view> lengths;
  for (const auto& [name, value] : head.fields) {
    if (EqualsIgnoringCase(name, "Content-Length")) lengths.push_back(value);
  }
  const std::vector<std::string_view> codings = ListOf(head, "Transfer-Encoding");
  if (!codings.empty()) {
    if (!lengths.empty()) {
      return Refuse(400, "Content-Length and Transfer-Encoding contradict one another");
    }
    if (head.version == 10) return Refuse(400, "HTTP/1.0 has no Transfer-Encoding");
    if (codings.size() == 1 && EqualsIgnoringCase(codings[0], "chunked")) {
      head.chunked = true;
      return std::nullopt;
    }
    if (!EqualsIgnoringCase(codings.back(), "chunked") && ListHas(codings, "chunked")) {
      return Refuse(400, "chunked must be the last transfer coding");
    }
    if (std::count_if(codings.begin(), codings.end(), [](std::string_view coding) {
          return EqualsIgnoringCase(coding, "chunked");
        }) > 1) {
      return Refuse(400, "a body is chunked once");
    }
    return Refuse(501, "the only transfer coding known here is chunked");
  }
  if (lengths.size() > 1) return Refuse(400, "there is more than one Content-Length");
  return lengths.empty() ? std::nullopt : ParseContentLength(lengths[0], head);
}

MaybeRefusal SettleExpectation(RequestHead& head) {
  for (const auto& [name, value] : head.fields) {
    if (!EqualsIgnoringCase(name, "Expect")) continue;
    if (!EqualsIgnoringCase(value, "100-continue")) {
      return Refuse(417, "the only expectation known here is 100-continue");
    }
    // RFC 9110 section 10.1.1: HTTP/1.0 knows no interim answers.
    head.expects_continue = head.version == 11 && (head.chunked || head.content_length > 0);
  }
  return std::nullopt;
}

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::variant<RequestHead, RequestRefusal> ParseRequestHead(std::string_view text,
                                                           const HttpLimits& limits) {
  RequestHead head;
  text.remove_suffix(kLineEnd.size());  // the empty line
  const std::string_view request_line = TakeUntil(text, kLineEnd);
  std::string_view authority;
  MaybeRefusal refusal = ParseRequestLine(request_line, limits, head, authority);
  if (!refusal) refusal = ParseFields(text, limits, head);
  if (!refusal) refusal = SettleHost(authority, head);
  if (!refusal) refusal = SettleBodyLength(head);
  if (!refusal) refusal = SettleExpectation(head);
  if (refusal) return *std::move(refusal);
  const std::vector<std::string_view> connection = ListOf(head, "Connection");
  head.keep_alive =
      !ListHas(connection, "close") && (head.version == 11 || ListHas(connection, "keep-alive"));
  return head;
}

std::optional<HeaderField> ParseFieldLine(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (!IsToken(name) || !IsFieldValue(value)) return std::nullopt;
  return HeaderField(name, value);
}

std::optional<RequestTarget> ParseTarget(std::string_view target) {
  constexpr char kHighestVisible = 0x7e;
  if (std::any_of(target.begin(), target.end(),
                  [](char c) { return c <= ' ' || c > kHighestVisible || c == '#'; })) {
    return std::nullopt;
  }
  RequestTarget parsed;
  if (target == "*") {
    parsed.path = "*";
    return parsed;
  }
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(ToAbsl(target), ToAbsl(scheme))) continue;
    target.remove_prefix(scheme.size());
    const size_t path = std::min(target.find_first_of("/?"), target.size());
    parsed.authority = target.substr(0, path);
    target.remove_prefix(path);
    if (parsed.authority.empty() || !IsAuthority(parsed.authority)) return std::nullopt;
    if (target.empty() || target.front() == '?') parsed.path = "/";
    break;
  }
  if (parsed.authority.empty() && (target.empty() || target.front() != '/')) return std::nullopt;
  const std::string_view path = target.substr(0, target.find('?'));
  if (path.size() < target.size()) parsed.query = target.substr(path.size() + 1);
  for (const char c : path) {
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
  return std::all_of(id.begin(), id.end(), [](char c) { return c >= 0x21 && c <= 0x7e; });
}

}  // namespace spillway
