#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "worker/text/tool_call_reader.h"

namespace spillway {
namespace {

constexpr int kDepthMax = 100;

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }

bool IsWordByte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || IsDigit(byte) ||
         byte == '_' || byte == '.' || byte == '-' || byte == ':' || byte == '/';
}

// Reads Python's literals and writes them as JSON. Each function returns false where the text is
// something else.
class LiteralReader {
 public:
  LiteralReader(std::string_view text, size_t at) : text_(text), at_(at) {}

  std::string TakeWord() {
    SkipSpace();
    const size_t begin = at_;
    while (at_ < text_.size() && IsWordByte(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  bool Take(char byte) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != byte) return false;
    ++at_;
    return true;
  }

  bool at_end() const { return at_ == text_.size(); }

  bool Value(std::string& out, int depth) {
    SkipSpace();
    if (at_ >= text_.size() || depth > kDepthMax) return false;
    switch (text_[at_]) {
      case '\'':
      case '"':
        return String(out);
      case '[':
        return Sequence('[', ']', out, depth);
      case '(':
        return Sequence('(', ')', out, depth);
      case '{':
        return Dict(out, depth);
      default:
        return Word(out);
    }
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) < 4) ++at_;
  }

  bool Word(std::string& out) {
    const size_t begin = at_;
    while (at_ < text_.size() && (IsWordByte(text_[at_]) || text_[at_] == '+')) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    for (const auto& [python, json] : {std::pair{"True", "true"},
                                       {"true", "true"},
                                       {"False", "false"},
                                       {"false", "false"},
                                       {"None", "null"},
                                       {"null", "null"}}) {
      if (word != python) continue;
      out += json;
      return true;
    }
    if (!nlohmann::json::accept(word)) return false;  // what is left of JSON's are numbers
    out += word;
    return true;
  }

  bool String(std::string& out) {
    const char quote = text_[at_++];
    std::string value;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == quote) {
        ++at_;
        out += nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        return true;
      }
      if (text_[at_] != '\\') {
        value += text_[at_];
      } else if (++at_ == text_.size() || !Escape(value)) {
        return false;
      }
    }
    return false;
  }

  // Behind a backslash; stays on the escape's last byte.
  bool Escape(std::string& value) {
    constexpr std::string_view kNames = "ntr\\'\"0abfv";
    constexpr std::string_view kBytes{"\n\t\r\\'\"\0\a\b\f\v", 11};
    const char name = text_[at_];
    if (name == '\n') return true;  // the line goes on
    if (name == 'x' || name == 'u' || name == 'U') {
      const size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : 8;
      uint32_t code = 0;
      for (size_t i = 1; i <= digits; ++i) {
        if (at_ + i >= text_.size() || !std::isxdigit(static_cast<unsigned char>(text_[at_ + i]))) {
          return false;
        }
        const std::string digit(1, text_[at_ + i]);
        code = code * 16 + static_cast<uint32_t>(std::strtoul(digit.c_str(), nullptr, 16));
      }
      at_ += digits;
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
      AppendUtf8(code, value);
      return true;
    }
    const size_t found = kNames.find(name);
    if (found == std::string_view::npos) value += '\\';  // As Python has it, both stay.
    value += found == std::string_view::npos ? name : kBytes[found];
    return true;
  }

  static void AppendUtf8(uint32_t code, std::string& out) {
    const auto byte = [&out](uint32_t value) { out += static_cast<char>(value); };
    if (code < 0x80) return byte(code);
    if (code < 0x800) {
      byte(0xc0 | code >> 6);
    } else {
      if (code < 0x10000) {
        byte(0xe0 | code >> 12);
      } else {
        byte(0xf0 | code >> 18);
        byte(0x80 | (code >> 12 & 0x3f));
      }
      byte(0x80 | (code >> 6 & 0x3f));
    }
    byte(0x80 | (code & 0x3f));
  }

  bool Sequence(char open, char close, std::string& out, int depth) {
    if (!Take(open)) return false;
    out += '[';
    bool first = true;
    while (!Take(close)) {
      if (!first && !Take(',')) return false;
      if (!first && Take(close)) break;  // a comma may be the last
      if (!first) out += ", ";
      first = false;
      if (!Value(out, depth + 1)) return false;
    }
    out += ']';
    return true;
  }

  bool Dict(std::string& out, int depth) {
    if (!Take('{')) return false;
    out += '{';
    bool first = true;
    while (!Take('}')) {
      if (!first && !Take(',')) return false;
      if (!first && Take('}')) break;
      if (!first) out += ", ";
      first = false;
      SkipSpace();
      if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) return false;
      if (!String(out) || !Take(':')) return false;
      out += ": ";
      if (!Value(out, depth + 1)) return false;
    }
    out += '}';
    return true;
  }

  const std::string_view text_;
  size_t at_;
};

}  // namespace

std::optional<ToolCall> ReadPythonCall(std::string_view call) {
  LiteralReader reader(call, 0);
  ToolCall read = {.name = reader.TakeWord(), .arguments = "{"};
  if (read.name.empty() || !reader.Take('(')) return std::nullopt;
  bool first = true;
  while (!reader.Take(')')) {
    if (!first && !reader.Take(',')) return std::nullopt;
    if (!first && reader.Take(')')) break;
    if (!first) read.arguments += ", ";
    first = false;
    const std::string key = reader.TakeWord();
    if (key.empty() || !reader.Take('=')) return std::nullopt;
    read.arguments += nlohmann::json(key).dump() + ": ";
    if (!reader.Value(read.arguments, 0)) return std::nullopt;
  }
  if (!reader.at_end()) return std::nullopt;
  read.arguments += '}';
  return read;
}

}  // namespace spillway
