#include "worker/text/jinja_string_format.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_access.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_format_spec.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_strings.h"

// str.format(), as Python's string.Formatter reads it: transformers' sandbox formats with that.

namespace spillway::jinja {
namespace {

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

class BraceFormatter {
 public:
  BraceFormatter(Interpreter& interpreter, const Arguments& arguments, bool escapes)
      : interpreter_(interpreter), arguments_(arguments), escapes_(escapes) {}

  // Specs may hold fields themselves, and their specs too, but no more.
  absl::Status Format(const Text& text, int depth, TextBuilder& out) {
    if (depth > 2) return absl::InvalidArgumentError("fields of a format are nested too deep");
    const std::string_view view = text.view();
    for (size_t at = 0; at < view.size();) {
      const size_t brace = std::min(view.find_first_of("{}", at), view.size());
      out.Append(text, at, brace);
      if (brace == view.size()) break;
      at = brace + 1;
      if (at < view.size() && view[at] == view[brace]) {  // A doubled brace is one.
        out.Append(text, brace, at);
        ++at;
        continue;
      }
      if (view[brace] == '}') return absl::InvalidArgumentError("a single } in a format string");
      const size_t end = FieldEnd(view, at);
      if (end == std::string_view::npos) {
        return absl::InvalidArgumentError("a { in a format string has no }");
      }
      RETURN_IF_ERROR(FormatField(text, at, end, depth, out));
      at = end + 1;
    }
    return out.Check();
  }

 private:
  // Where the brace is that closes the field from `at`; npos: nowhere.
  static size_t FieldEnd(std::string_view text, size_t at) {
    bool in_brackets = false;
    for (int open = 1; at < text.size(); ++at) {
      const char c = text[at];
      if (in_brackets) {
        in_brackets = c != ']';
      } else if (c == '[' && open == 1) {
        in_brackets = true;
      } else if (c == '{') {
        ++open;
      } else if (c == '}' && --open == 0) {
        return at;
      }
    }
    return std::string_view::npos;
  }

  absl::Status FormatField(const Text& text, size_t begin, size_t end, int depth,
                           TextBuilder& out) {
    const std::string_view field = text.view().substr(begin, end - begin);
    size_t name_end = 0;
    for (bool in_brackets = false; name_end < field.size(); ++name_end) {
      const char c = field[name_end];
      if (!in_brackets && (c == '!' || c == ':')) break;
      if (!in_brackets && c == '{') return absl::InvalidArgumentError("unexpected { in a field");
      in_brackets = c == '[' || (in_brackets && c != ']');
    }
    char conversion = '\0';
    size_t spec_begin = name_end;
    if (name_end < field.size() && field[name_end] == '!') {
      if (name_end + 1 == field.size()) return absl::InvalidArgumentError("no conversion behind !");
      conversion = field[name_end + 1];
      spec_begin = name_end + 2;
      if (spec_begin < field.size() && field[spec_begin] != ':') {
        return absl::InvalidArgumentError("expected ':' after conversion specifier");
      }
    }
    if (spec_begin < field.size()) ++spec_begin;
    ASSIGN_OR_RETURN(Value value, FieldValue(field.substr(0, name_end)));
    ASSIGN_OR_RETURN(value, Convert(value, conversion));
    TextBuilder spec(interpreter_.heap());
    RETURN_IF_ERROR(Format(text.Substring(begin + spec_begin, end), depth + 1, spec));
    if (!escapes_) return AppendFormatted(value, spec.text().view(), out);
    TextBuilder formatted(interpreter_.heap());
    RETURN_IF_ERROR(AppendFormatted(value, spec.text().view(), formatted));
    Text plain = formatted.text();
    if (value.string() != nullptr && value.string()->is_markup()) plain.set_markup();
    EscapeHtml(plain, out);
    return out.Check();
  }

  absl::StatusOr<Value> Convert(const Value& value, char conversion) {
    if (conversion == '\0') return value;
    if (conversion == 's') return interpreter_.Str(value);
    TextBuilder out(interpreter_.heap());
    if (conversion == 'r') {
      RETURN_IF_ERROR(AppendRepr(value, out));
    } else if (conversion == 'a') {
      RETURN_IF_ERROR(AppendAscii(value, out));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown conversion specifier ", std::string(1, conversion)));
    }
    return out.Finish();
  }

  // name.attribute[key]…
  absl::StatusOr<Value> FieldValue(std::string_view field) {
    const size_t name_end = std::min(field.find_first_of(".["), field.size());
    ASSIGN_OR_RETURN(Value value, Argument(field.substr(0, name_end), field.empty()));
    field.remove_prefix(name_end);
    while (!field.empty()) {
      const bool attribute = field[0] == '.';
      field.remove_prefix(1);
      const size_t end = attribute ? std::min(field.find_first_of(".["), field.size())
                                   : std::min(field.find(']'), field.size());
      const std::string name(field.substr(0, end));
      if (name.empty()) return absl::InvalidArgumentError("empty attribute in format string");
      int64_t index = 0;
      if (attribute) {
        ASSIGN_OR_RETURN(value, GetAttribute(interpreter_, value, name));
      } else if (AllDigits(name) && absl::SimpleAtoi(name, &index)) {
        ASSIGN_OR_RETURN(value, GetItem(interpreter_, value, Value::Int(index)));
      } else {
        ASSIGN_OR_RETURN(value, GetItem(interpreter_, value, interpreter_.heap().Untrusted(name)));
      }
      if (!attribute && end == field.size()) {
        return absl::InvalidArgumentError("missing ']' in format string");
      }
      field.remove_prefix(attribute ? end : end + 1);
      if (!attribute && !field.empty() && field[0] != '.' && field[0] != '[') {
        return absl::InvalidArgumentError("only '.' or '[' may follow ']' in format string");
      }
    }
    // The name lives no longer than this field: what is undefined forgets it.
    return value.is_undefined() ? Value() : value;
  }

  absl::StatusOr<Value> Argument(std::string_view name, bool automatic) {
    if (automatic || AllDigits(name)) {
      if (numbering_ != Numbering::kNone && (numbering_ == Numbering::kAutomatic) != automatic) {
        return absl::InvalidArgumentError(
            "cannot switch between manual field specification and automatic field numbering");
      }
      numbering_ = automatic ? Numbering::kAutomatic : Numbering::kManual;
      size_t index = next_;
      if (automatic) {
        ++next_;
      } else if (!absl::SimpleAtoi(std::string(name), &index)) {
        index = arguments_.positional.size();
      }
      if (index < arguments_.positional.size()) return arguments_.positional[index];
      return absl::InvalidArgumentError("format() has fewer arguments than fields");
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return absl::InvalidArgumentError(
        absl::StrCat("format() has no argument '", std::string(name), "'"));
  }

  enum class Numbering { kNone, kAutomatic, kManual };

  Interpreter& interpreter_;
  const Arguments& arguments_;
  const bool escapes_;
  Numbering numbering_ = Numbering::kNone;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<Value> FormatBraces(Interpreter& interpreter, const Value& self,
                                   const Arguments& arguments) {
  const Text& text = *self.string();
  TextBuilder out(interpreter.heap());
  RETURN_IF_ERROR(BraceFormatter(interpreter, arguments, text.is_markup()).Format(text, 0, out));
  if (text.is_markup()) out.SetMarkup();
  return out.Finish();
}

absl::StatusOr<Value> FormatBracesOfMap(Interpreter& interpreter, const Value& self,
                                        const Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty() ||
      arguments.positional[0].dict() == nullptr) {
    return absl::InvalidArgumentError("format_map() takes one dict");
  }
  Arguments named;
  for (const Dict::Entry& entry : arguments.positional[0].dict()->entries()) {
    if (entry.key.string() == nullptr) continue;
    named.named.emplace_back(std::string(entry.key.string()->view()), entry.value);
  }
  return FormatBraces(interpreter, self, named);
}

}  // namespace spillway::jinja
