#include "worker/text/tool_call_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/json_slices.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr size_t kDepthMax = 100;
constexpr std::string_view kSpace = " \t\r\n";

enum class Found { kNo, kYes, kPartly };  // kPartly: the text ends before it is known

// A place in the text so far.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  size_t at() const { return at_; }
  bool at_end() const { return at_ == text_.size(); }
  char byte() const { return text_[at_]; }
  void Skip(size_t bytes) { at_ += bytes; }
  void SkipSpace() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  // Goes behind `literal` if it is there.
  Found Take(std::string_view literal) {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with(literal)) {
      at_ += literal.size();
      return Found::kYes;
    }
    return literal.starts_with(rest) ? Found::kPartly : Found::kNo;
  }

  // Goes before `end`; `taken` is what it passes.
  Found TakeUntil(std::string_view end, std::string_view& taken) {
    const size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return Found::kPartly;
    taken = text_.substr(at_, found - at_);
    at_ = found;
    return Found::kYes;
  }

  // A JSON string without escapes. kNo: something else.
  Found TakeString(std::string_view& taken) {
    if (at_end()) return Found::kPartly;
    if (byte() != '"') return Found::kNo;
    const size_t end = text_.find_first_of("\"\\\n", at_ + 1);
    if (end == std::string_view::npos) return Found::kPartly;
    if (text_[end] != '"') return Found::kNo;
    taken = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return Found::kYes;
  }

 private:
  const std::string_view text_;
  size_t at_ = 0;
};

bool IsNameByte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || byte == '_' || byte == '-' || byte == '.' || byte == ':' ||
         byte == '/';
}

bool IsName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsNameByte);
}

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

CallHeader Bad() { return {.state = CallHeader::State::kBad}; }
CallHeader More() { return {}; }

bool IsArgumentsKey(std::string_view key) { return key == "arguments" || key == "parameters"; }

// At the object's bracket. As soon as the name is known and the arguments begin, these may be told;
// where they come in another order, or with other members, only the whole object tells.
CallHeader ReadObjectHeader(const CallRow& row, Cursor cursor) {
  const size_t begin = cursor.at();
  const CallHeader whole = {
      .state = CallHeader::State::kObject, .row = row, .begin = begin, .bracket = begin};
  cursor.Skip(1);
  std::string_view name;
  while (true) {
    cursor.SkipSpace();
    std::string_view key;
    if (const Found found = cursor.TakeString(key); found != Found::kYes) {
      if (found == Found::kPartly) return More();
      // A name and no arguments.
      return !cursor.at_end() && cursor.byte() == '}' && !name.empty() && !row.bare ? whole : Bad();
    }
    const bool plain = key == "name" || key == "type" || key == "id";
    if (row.bare && !plain && key != "function" && !IsArgumentsKey(key)) return Bad();
    cursor.SkipSpace();
    if (const Found colon = cursor.Take(":"); colon != Found::kYes) {
      return colon == Found::kPartly ? More() : Bad();
    }
    cursor.SkipSpace();
    if (cursor.at_end()) return More();
    if (IsArgumentsKey(key)) {
      if (name.empty() || cursor.byte() != '{') return whole;
      return {.state = CallHeader::State::kArguments,
              .row = row,
              .name = std::string(name),
              .begin = cursor.at(),
              .bracket = cursor.at()};
    }
    if (!plain) return whole;
    std::string_view value;
    if (const Found found = cursor.TakeString(value); found != Found::kYes) {
      return found == Found::kPartly ? More() : Bad();
    }
    if (key == "name") {
      if (!IsName(value)) return Bad();
      name = value;
    }
    cursor.SkipSpace();
    if (cursor.Take(",") == Found::kYes) continue;
    if (cursor.at_end()) return More();
    return cursor.byte() == '}' && !name.empty() && !row.bare ? whole : Bad();
  }
}

CallHeader ReadPythonHeader(CallRow row, bool further, Cursor cursor) {
  if (!further) {
    row.in_array = cursor.Take("[") == Found::kYes;
    if (!row.in_array && row.bare) return Bad();
    cursor.SkipSpace();
  }
  const size_t begin = cursor.at();
  while (!cursor.at_end() && IsNameByte(cursor.byte())) cursor.Skip(1);
  if (cursor.at_end()) return More();
  if (cursor.byte() != '(' || cursor.at() == begin) return Bad();
  return {.state = CallHeader::State::kPython, .row = row, .begin = begin, .bracket = cursor.at()};
}

// DeepSeek's later models write "NAME<sep>{", its earlier ones "function<sep>NAME\n```json\n{".
CallHeader ReadNamedHeader(const ToolCallFormat& format, const CallRow& row, std::string_view text,
                           Cursor cursor) {
  if (!format.call_open.empty()) {
    const Found open = cursor.Take(format.call_open);
    if (open == Found::kPartly) return More();
    cursor.SkipSpace();
  }
  const size_t name_begin = cursor.at();
  while (!cursor.at_end() && (IsNameByte(cursor.byte()))) cursor.Skip(1);
  std::string_view name = text.substr(name_begin, cursor.at() - name_begin);
  if (cursor.at_end()) return More();
  if (name.empty()) return Bad();
  cursor.SkipSpace();
  if (!format.id_begin.empty()) {
    const Found id = cursor.Take(format.id_begin);
    std::string_view taken;
    if (id == Found::kYes && cursor.TakeUntil("[", taken) == Found::kYes) {
      if (!IsName(taken)) return Bad();
    } else if (id != Found::kNo) {
      return More();
    }
  }
  if (const Found end = cursor.Take(format.name_end); end != Found::kYes) {
    return end == Found::kPartly ? More() : Bad();
  }
  cursor.SkipSpace();
  if (cursor.at_end()) return More();
  if (cursor.byte() != '{' && name == "function") {
    if (cursor.TakeUntil("\n", name) != Found::kYes) return More();
    name = Trimmed(name);
    if (!IsName(name)) return Bad();
    cursor.SkipSpace();
    if (cursor.Take("```json") == Found::kPartly) return More();
    cursor.SkipSpace();
    if (cursor.at_end()) return More();
  }
  if (cursor.byte() != '{') return Bad();
  return {.state = CallHeader::State::kArguments,
          .row = row,
          .name = std::string(name),
          .begin = cursor.at(),
          .bracket = cursor.at()};
}

CallTail Ends(size_t end) { return {.state = CallTail::State::kEnd, .end = end}; }

// Behind a row's last call: the marker that closes it may be missing.
CallTail ReadClose(const ToolCallFormat& format, Cursor cursor) {
  const size_t end = cursor.at();
  if (format.close.empty()) return Ends(end);
  cursor.SkipSpace();
  const Found close = cursor.Take(format.close);
  if (close == Found::kPartly) return {};
  return Ends(close == Found::kYes ? cursor.at() : end);
}

// Behind the arguments: what else the object has, up to its end.
Found SkipObjectRest(Cursor& cursor, std::string_view text) {
  cursor.SkipSpace();
  if (cursor.at_end()) return Found::kPartly;
  if (cursor.byte() != '}' && cursor.byte() != ',') return Found::kNo;
  BracketScanner scanner;
  scanner.Add('{');
  for (; !cursor.at_end(); cursor.Skip(1)) {
    switch (scanner.Add(text[cursor.at()])) {
      case BracketScanner::Step::kMore:
        continue;
      case BracketScanner::Step::kEnd:
        cursor.Skip(1);
        return Found::kYes;
      case BracketScanner::Step::kBad:
        return Found::kNo;
    }
  }
  return Found::kPartly;
}

CallTail ReadNamedTail(const ToolCallFormat& format, Cursor cursor) {
  if (format.call_close.empty()) return Ends(cursor.at());
  const size_t begin = cursor.at();
  cursor.SkipSpace();
  if (cursor.Take("```") == Found::kPartly) return {};
  cursor.SkipSpace();
  if (const Found close = cursor.Take(format.call_close); close != Found::kYes) {
    return close == Found::kPartly ? CallTail{} : Ends(begin);
  }
  Cursor next = cursor;
  next.SkipSpace();
  const Found open = next.Take(format.call_open);
  if (open == Found::kYes) return {.state = CallTail::State::kNext};
  const CallTail close = ReadClose(format, cursor);
  return open == Found::kPartly ? CallTail{} : close;
}

// The arguments of a JSON call, which may be spelled as a string.
std::optional<std::string> ArgumentsText(std::string_view value) {
  const json parsed = json::parse(value, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object()) return std::string(value);
  if (!parsed.is_string()) return std::nullopt;
  const std::string& text = parsed.get_ref<const std::string&>();
  if (!json::parse(text, nullptr, /*allow_exceptions=*/false).is_object()) return std::nullopt;
  return text;
}

}  // namespace

BracketScanner::Step BracketScanner::Add(char byte) {
  if (quote_ != 0) {
    if (escaped_) {
      escaped_ = false;
    } else if (byte == '\\') {
      escaped_ = true;
    } else if (byte == quote_) {
      quote_ = 0;
    }
    return Step::kMore;
  }
  if (quotes_.find(byte) != std::string_view::npos) {
    quote_ = byte;
  } else if (byte == '{' || byte == '[' || byte == '(') {
    if (open_.size() == kDepthMax) return Step::kBad;
    open_ += byte;
  } else if (byte == '}' || byte == ']' || byte == ')') {
    const char opening = byte == '}' ? '{' : byte == ']' ? '[' : '(';
    if (open_.empty() || open_.back() != opening) return Step::kBad;
    open_.pop_back();
    if (open_.empty()) return Step::kEnd;
  }
  return Step::kMore;
}

CallHeader ReadCallHeader(const ToolCallFormat& format, const CallRow& row, bool further,
                          std::string_view text) {
  Cursor cursor(text);
  cursor.SkipSpace();
  CallRow known = row;
  if (further && (row.in_array || !format.separator.empty()) && (row.json || row.in_array)) {
    cursor.Skip(1);  // the comma or semicolon that ReadCallTail() saw
    cursor.SkipSpace();
  }
  if (cursor.at_end()) return More();
  if (format.syntax == ToolCallFormat::Syntax::kPython) {
    return ReadPythonHeader(known, further, cursor);
  }
  if (!further && cursor.byte() == '[') {
    known.in_array = true;
    cursor.Skip(1);
    cursor.SkipSpace();
    if (cursor.at_end()) return More();
  }
  if (cursor.byte() == '{') {
    known.json = true;
    return ReadObjectHeader(known, cursor);
  }
  if (format.syntax != ToolCallFormat::Syntax::kNamed || known.in_array) return Bad();
  return ReadNamedHeader(format, known, text, cursor);
}

CallTail ReadCallTail(const ToolCallFormat& format, const CallRow& row, bool in_object,
                      std::string_view text) {
  Cursor cursor(text);
  if (in_object) {
    if (const Found rest = SkipObjectRest(cursor, text); rest != Found::kYes) {
      return rest == Found::kPartly ? CallTail{} : Ends(0);
    }
  }
  if (!row.json && format.syntax == ToolCallFormat::Syntax::kNamed) {
    return ReadNamedTail(format, cursor);
  }
  const size_t end = cursor.at();
  if (row.in_array) {
    cursor.SkipSpace();
    if (cursor.Take(",") == Found::kYes) return {.state = CallTail::State::kNext};
    if (cursor.Take("]") == Found::kYes) return ReadClose(format, cursor);
    return cursor.at_end() ? CallTail{} : Ends(end);
  }
  if (!format.separator.empty()) {
    cursor.SkipSpace();
    if (cursor.Take(format.separator) == Found::kYes) return {.state = CallTail::State::kNext};
    if (cursor.at_end()) return {};
    return Ends(end);
  }
  return ReadClose(format, cursor);
}

std::optional<ToolCall> ReadCallObject(std::string_view object, bool bare) {
  if (!json::accept(object)) return std::nullopt;
  if (const auto function = JsonMemberValue(object, "function");
      function && function->starts_with('{')) {
    return ReadCallObject(*function, bare);
  }
  const json name = json::parse(JsonMemberValue(object, "name").value_or("null"));
  if (!name.is_string() || !IsName(name.get_ref<const std::string&>())) return std::nullopt;
  auto spelled = JsonMemberValue(object, "arguments");
  if (!spelled) spelled = JsonMemberValue(object, "parameters");
  ToolCall call = {.name = name.get<std::string>(), .arguments = "{}"};
  if (!spelled) return bare ? std::nullopt : std::optional(call);
  std::optional<std::string> arguments = ArgumentsText(*spelled);
  if (!arguments) return std::nullopt;
  call.arguments = *std::move(arguments);
  return call;
}

}  // namespace spillway
