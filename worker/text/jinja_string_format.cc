#include "worker/text/jinja_string_format.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"

namespace spillway::jinja {
namespace {

constexpr int kWidthMax = 1000;  // characters that one conversion is padded to

absl::StatusOr<const Value*> FieldValue(std::string_view name, const Arguments& arguments,
                                        size_t& next) {
  size_t index = 0;
  if (name.empty() || absl::SimpleAtoi(std::string(name), &index)) {
    if (name.empty()) index = next++;
    if (index < arguments.positional.size()) return &arguments.positional[index];
    return absl::InvalidArgumentError("format() has fewer arguments than fields");
  }
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("format() has no argument '", std::string(name), "'"));
}

// One conversion of the % operator.
struct Conversion {
  bool left = false;
  bool zeros = false;
  bool plus = false;
  int width = 0;
  int precision = -1;
  char kind = 's';
};

// Reads what follows a '%' at `at`, and moves behind it.
absl::StatusOr<Conversion> ReadConversion(std::string_view text, size_t& at) {
  Conversion conversion;
  for (; at < text.size(); ++at) {
    if (text[at] == '-') {
      conversion.left = true;
    } else if (text[at] == '0') {
      conversion.zeros = true;
    } else if (text[at] == '+') {
      conversion.plus = true;
    } else {
      break;
    }
  }
  const auto number = [&] {
    int value = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      value = std::min(value * 10 + (text[at] - '0'), kWidthMax);
    }
    return value;
  };
  conversion.width = number();
  if (at < text.size() && text[at] == '.') {
    ++at;
    conversion.precision = number();
  }
  if (at == text.size()) return absl::InvalidArgumentError("incomplete format");
  conversion.kind = text[at++];
  return conversion;
}

absl::StatusOr<std::string> FormatNumber(const Conversion& conversion, const Value& value) {
  const auto number = value.AsNumber();
  if (!number.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("%", std::string(1, conversion.kind),
                                                   " needs a number, not ", value.TypeName()));
  }
  std::string text;
  if (conversion.kind == 'f' || conversion.kind == 'F') {
    text = absl::StrFormat("%.*f", conversion.precision < 0 ? 6 : conversion.precision, *number);
  } else {
    if (!value.AsInteger() && !(std::abs(*number) < 9e18)) {
      return absl::InvalidArgumentError("a number is beyond 64 bits");
    }
    const int64_t integer = value.AsInteger().value_or(static_cast<int64_t>(*number));
    text = conversion.kind == 'x'
               ? (integer < 0 ? absl::StrFormat("-%x", -static_cast<uint64_t>(integer))
                              : absl::StrFormat("%x", integer))
               : absl::StrCat(integer);
  }
  if (conversion.plus && !text.starts_with('-')) text.insert(0, "+");
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const auto width = static_cast<size_t>(conversion.width);
  if (conversion.zeros && !conversion.left && text.size() < width) {
    text.insert(sign, width - text.size(), '0');
  }
  return text;
}

absl::StatusOr<Value> Convert(Interpreter& interpreter, const Conversion& conversion,
                              const Value& value) {
  Heap& heap = interpreter.heap();
  switch (conversion.kind) {
    case 's':
      return interpreter.Str(value);
    case 'r': {
      TextBuilder out(heap);
      RETURN_IF_ERROR(AppendRepr(value, interpreter.unicode(), out));
      return out.Finish();
    }
    case 'c':
      if (value.string() != nullptr) return value;
      return absl::InvalidArgumentError("%c needs a character");
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'f':
    case 'F': {
      ASSIGN_OR_RETURN(std::string text, FormatNumber(conversion, value));
      return heap.Untrusted(std::move(text));
    }
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("unsupported format character '", std::string(1, conversion.kind), "'"));
  }
}

absl::Status AppendPadded(const Conversion& conversion, const Value& value, TextBuilder& out) {
  ASSIGN_OR_RETURN(const int64_t length, Length(value));
  const std::string padding(static_cast<size_t>(std::max<int64_t>(conversion.width - length, 0)),
                            ' ');
  if (!conversion.left) out.AppendUntrusted(padding);
  out.Append(*value.string());
  if (conversion.left) out.AppendUntrusted(padding);
  return out.Check();
}

}  // namespace

absl::StatusOr<Value> FormatBraces(Interpreter& interpreter, const Value& self,
                                   const Arguments& arguments) {
  const Text& text = *self.string();
  const std::string_view view = text.view();
  TextBuilder out(interpreter.heap());
  size_t next = 0;
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
    const size_t end = view.find('}', at);
    if (view[brace] == '}' || end == std::string_view::npos) {
      return absl::InvalidArgumentError("a single brace in a format string");
    }
    std::string_view field = view.substr(at, end - at);
    const bool repr = field.ends_with("!r");
    if (repr || field.ends_with("!s")) field.remove_suffix(2);
    if (field.find_first_of(":.[!{") != std::string_view::npos) {
      return absl::InvalidArgumentError("format specifications are not supported");
    }
    ASSIGN_OR_RETURN(const Value* const value, FieldValue(field, arguments, next));
    RETURN_IF_ERROR(repr ? AppendRepr(*value, interpreter.unicode(), out)
                         : AppendStr(*value, interpreter.unicode(), out));
    at = end + 1;
  }
  return out.Finish();
}

absl::StatusOr<Value> FormatPercent(Interpreter& interpreter, const Value& self,
                                    const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Value format, interpreter.Str(self));
  const Text& text = *format.string();
  TextBuilder out(interpreter.heap());
  size_t next = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t percent = std::min(text.view().find('%', at), text.size());
    out.Append(text, at, percent);
    if (percent == text.size()) break;
    at = percent + 1;
    if (text.view().substr(at).starts_with('%')) {
      out.Append(text, percent, at);
      ++at;
      continue;
    }
    ASSIGN_OR_RETURN(const Conversion conversion, ReadConversion(text.view(), at));
    if (next == arguments.positional.size()) {
      return absl::InvalidArgumentError("not enough arguments for format string");
    }
    ASSIGN_OR_RETURN(const Value value,
                     Convert(interpreter, conversion, arguments.positional[next++]));
    RETURN_IF_ERROR(AppendPadded(conversion, value, out));
  }
  if (next != arguments.positional.size()) {
    return absl::InvalidArgumentError("not all arguments converted during string formatting");
  }
  return out.Finish();
}

}  // namespace spillway::jinja
