#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_format_spec.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_string_format.h"
#include "worker/text/jinja_strings.h"
#include "worker/text/utf8.h"

// The % operator on strings, as Python's unicodeobject.c has it.

namespace spillway::jinja {
namespace {

struct Conversion {
  bool left = false;
  bool zeros = false;
  bool plus = false;
  bool space = false;
  bool alternate = false;
  int64_t width = 0;
  int64_t precision = -1;
  char kind = 's';
};

class PercentFormatter {
 public:
  PercentFormatter(Interpreter& interpreter, const Text& format, const Value& values)
      : interpreter_(interpreter),
        text_(format),
        values_(values),
        tuple_(values.sequence() != nullptr && values.sequence()->is_tuple() ? values.sequence()
                                                                             : nullptr) {}

  absl::StatusOr<Value> Run() {
    TextBuilder out(interpreter_.heap());
    for (size_t at = 0; at < text_.size();) {
      const size_t percent = std::min(text_.view().find('%', at), text_.size());
      out.Append(text_, at, percent);
      if (percent == text_.size()) break;
      at_ = percent + 1;
      RETURN_IF_ERROR(FormatOne(out));
      RETURN_IF_ERROR(out.Check());
      at = at_;
    }
    // A dict may have more than is asked for, and so may whatever else takes subscripts.
    const bool is_mapping =
        values_.dict() != nullptr || values_.is_undefined() ||
        (tuple_ == nullptr && values_.sequence() != nullptr && values_.sequence()->has_subscript());
    if (next_ < (tuple_ == nullptr ? 1 : tuple_->items.size()) && !is_mapping) {
      return absl::InvalidArgumentError("not all arguments converted during string formatting");
    }
    if (text_.is_markup()) out.SetMarkup();
    return out.Finish();
  }

 private:
  absl::Status FormatOne(TextBuilder& out) {
    if (Is('%')) {
      out.Append(text_, at_, at_ + 1);
      ++at_;
      return absl::OkStatus();
    }
    const Value* value = nullptr;
    Value keyed;
    if (Is('(')) {
      ASSIGN_OR_RETURN(keyed, KeyedValue());
      value = &keyed;
    }
    ASSIGN_OR_RETURN(const Conversion conversion, ReadConversion());
    if (conversion.kind == '%') {
      out.AppendUntrusted("%");
      return absl::OkStatus();
    }
    if (value == nullptr) {
      ASSIGN_OR_RETURN(value, NextValue());
    }
    return Append(conversion, *value, out);
  }

  bool Is(char c) const { return at_ < text_.size() && text_.view()[at_] == c; }

  absl::StatusOr<Value> KeyedValue() {
    if (values_.dict() == nullptr) return absl::InvalidArgumentError("format requires a mapping");
    const size_t begin = ++at_;
    for (int open = 1; at_ < text_.size(); ++at_) {
      open += Is('(') ? 1 : Is(')') ? -1 : 0;
      if (open == 0) break;
    }
    if (at_ == text_.size()) return absl::InvalidArgumentError("incomplete format key");
    const std::string_view key = text_.view().substr(begin, at_++ - begin);
    next_ = 1;
    if (const Value* const found = values_.dict()->Find(key)) return *found;
    return absl::InvalidArgumentError(absl::StrCat("no key '", std::string(key), "' to format"));
  }

  absl::StatusOr<const Value*> NextValue() {
    const size_t index = next_++;
    if (tuple_ == nullptr && index == 0) return &values_;
    if (tuple_ != nullptr && index < tuple_->items.size()) return &tuple_->items[index];
    return absl::InvalidArgumentError("not enough arguments for format string");
  }

  // A number as it stands, or a * for the next value.
  absl::StatusOr<int64_t> ReadNumber() {
    if (Is('*')) {
      ++at_;
      ASSIGN_OR_RETURN(const Value* const value, NextValue());
      const auto number = value->AsInteger();
      if (!number.has_value()) return absl::InvalidArgumentError("* wants int");
      constexpr int64_t kWidest = 1'000'000'000;
      return std::clamp(*number, -kWidest, kWidest);
    }
    constexpr int64_t kNumberMax = 1'000'000'000;
    int64_t number = 0;
    for (; at_ < text_.size() && text_.view()[at_] >= '0' && text_.view()[at_] <= '9'; ++at_) {
      number = std::min(number * 10 + (text_.view()[at_] - '0'), kNumberMax);
    }
    return number;
  }

  absl::StatusOr<Conversion> ReadConversion() {
    Conversion conversion;
    for (;; ++at_) {
      if (Is('-')) {
        conversion.left = true;
      } else if (Is('0')) {
        conversion.zeros = true;
      } else if (Is('+')) {
        conversion.plus = true;
      } else if (Is(' ')) {
        conversion.space = true;
      } else if (Is('#')) {
        conversion.alternate = true;
      } else {
        break;
      }
    }
    ASSIGN_OR_RETURN(conversion.width, ReadNumber());
    if (conversion.width < 0) {
      conversion.left = true;
      conversion.width = -conversion.width;
    }
    if (Is('.')) {
      ++at_;
      ASSIGN_OR_RETURN(conversion.precision, ReadNumber());
      conversion.precision = std::max<int64_t>(conversion.precision, 0);
    }
    if (Is('h') || Is('l') || Is('L')) ++at_;
    if (at_ >= text_.size()) return absl::InvalidArgumentError("incomplete format");
    conversion.kind = text_.view()[at_++];
    return conversion;
  }

  absl::Status Append(const Conversion& conversion, const Value& value, TextBuilder& out) {
    switch (conversion.kind) {
      case 's':
      case 'r':
      case 'a':
        return AppendAsText(conversion, value, out);
      case 'c':
        return AppendCharacter(conversion, value, out);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return AppendInteger(conversion, value, out);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return AppendFloat(conversion, value, out);
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("unsupported format character '", std::string(1, conversion.kind), "'"));
    }
  }

  absl::Status AppendAsText(const Conversion& conversion, const Value& value, TextBuilder& out) {
    TextBuilder shown(interpreter_.heap());
    if (conversion.kind == 's') {
      RETURN_IF_ERROR(AppendStr(value, shown));
    } else {
      RETURN_IF_ERROR(conversion.kind == 'r' ? AppendRepr(value, shown)
                                             : AppendAscii(value, shown));
    }
    Text text = shown.text();
    if (text_.is_markup()) {
      if (value.string() != nullptr && value.string()->is_markup()) text.set_markup();
      TextBuilder escaped(interpreter_.heap());
      EscapeHtml(text, escaped);
      RETURN_IF_ERROR(escaped.Check());
      text = escaped.text();
    }
    if (conversion.precision >= 0 && conversion.precision < CountCodePoints(text.view())) {
      text = text.Substring(0, SkipCodePoints(text.view(), conversion.precision));
    }
    return AppendPadded(conversion, "", text, out);
  }

  absl::Status AppendCharacter(const Conversion& conversion, const Value& value, TextBuilder& out) {
    if (value.string() != nullptr) {
      if (CountCodePoints(value.string()->view()) != 1) {
        return absl::InvalidArgumentError("%c requires int or char");
      }
      return AppendPadded(conversion, "", *value.string(), out);
    }
    const auto code_point = value.AsInteger();
    if (!code_point.has_value() || *code_point < 0 || *code_point > 0x10FFFF) {
      return absl::InvalidArgumentError("%c requires int or char");
    }
    std::string character;
    AppendUtf8(static_cast<char32_t>(*code_point), character);
    return AppendPadded(conversion, "", Text::Untrusted(character), out);
  }

  static absl::Status NeedsNumber(const Conversion& conversion, const Value& value) {
    if (value.is_undefined()) return UndefinedError(value);
    return absl::InvalidArgumentError(absl::StrCat("%", std::string(1, conversion.kind),
                                                   " format: a number is required, not ",
                                                   value.TypeName()));
  }

  absl::Status AppendInteger(const Conversion& conversion, const Value& value, TextBuilder& out) {
    const bool decimal = conversion.kind == 'd' || conversion.kind == 'i' || conversion.kind == 'u';
    bool negative = false;
    std::string digits;
    if (const auto integer = value.AsInteger()) {
      negative = *integer < 0;
      const int base = decimal ? 10 : conversion.kind == 'o' ? 8 : 16;
      digits = FormatMagnitude(Magnitude(*integer), base, conversion.kind == 'X');
    } else if (value.floating() != nullptr && decimal && std::isfinite(*value.floating())) {
      digits = FormatFloatAs('f', 0, false, std::trunc(std::abs(*value.floating())));
      negative = *value.floating() <= -1;
    } else if (value.big_integer() != nullptr && decimal) {
      digits = *value.big_integer();
      negative = digits.starts_with('-');
      if (negative) digits.erase(0, 1);
    } else {
      return NeedsNumber(conversion, value);
    }
    if (conversion.precision > kPrecisionMax) {
      return absl::InvalidArgumentError("precision too large");
    }
    if (static_cast<int64_t>(digits.size()) < conversion.precision) {
      digits.insert(0, static_cast<size_t>(conversion.precision) - digits.size(), '0');
    }
    std::string head = Sign(conversion, negative);
    if (conversion.alternate && !decimal) {
      absl::StrAppend(&head, "0", std::string(1, conversion.kind));
    }
    return AppendPadded(conversion, head, Text::Untrusted(digits), out);
  }

  absl::Status AppendFloat(const Conversion& conversion, const Value& value, TextBuilder& out) {
    const auto number = value.AsNumber();
    if (!number.has_value()) return NeedsNumber(conversion, value);
    if (conversion.precision > kPrecisionMax) {
      return absl::InvalidArgumentError("precision too large");
    }
    const bool negative = std::signbit(*number) && !std::isnan(*number);
    std::string digits;
    if (std::isfinite(*number)) {
      const int precision = conversion.precision < 0 ? 6 : static_cast<int>(conversion.precision);
      digits = FormatFloatAs(conversion.kind, precision, conversion.alternate, std::abs(*number));
    } else {
      const bool upper = conversion.kind < 'a';
      digits = std::isnan(*number) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
    }
    return AppendPadded(conversion, Sign(conversion, negative), Text::Untrusted(digits), out);
  }

  static std::string Sign(const Conversion& conversion, bool negative) {
    return negative ? "-" : conversion.plus ? "+" : conversion.space ? " " : "";
  }

  // `head` is a number's sign and prefix: zeros come behind it, spaces before.
  static absl::Status AppendPadded(const Conversion& conversion, std::string_view head,
                                   const Text& body, TextBuilder& out) {
    const int64_t missing =
        conversion.width - static_cast<int64_t>(head.size()) - CountCodePoints(body.view());
    const bool number = std::string_view("src").find(conversion.kind) == std::string_view::npos &&
                        conversion.kind != 'a';
    const bool zeros = conversion.zeros && !conversion.left && number;
    const auto pad = [&](std::string_view with) {
      for (int64_t i = 0; i < missing && out.Check().ok(); ++i) out.AppendUntrusted(with);
    };
    if (!conversion.left && !zeros) pad(" ");
    out.AppendUntrusted(head);
    if (zeros) pad("0");
    out.Append(body);
    if (conversion.left) pad(" ");
    return out.Check();
  }

  Interpreter& interpreter_;
  const Text& text_;
  const Value& values_;
  const Sequence* const tuple_;  // null: `values` is the only value
  size_t at_ = 0;
  size_t next_ = 0;  // value to be taken
};

}  // namespace

absl::StatusOr<Value> FormatPercent(Interpreter& interpreter, const Text& format,
                                    const Value& values) {
  return PercentFormatter(interpreter, format, values).Run();
}

}  // namespace spillway::jinja
