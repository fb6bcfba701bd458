#include "worker/text/jinja_format_spec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_strings.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

struct Spec {
  std::string fill = " ";
  char align = '\0';  // one of < > = ^
  char sign = '-';
  bool no_negative_zero = false;
  bool alternate = false;
  int64_t width = -1;
  char grouping = '\0';  // , or _
  int64_t precision = -1;
  char type = '\0';
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlign(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

class SpecReader {
 public:
  explicit SpecReader(std::string_view text) : text_(text) {}

  absl::StatusOr<Spec> Read() {
    Spec spec;
    ReadAlignment(spec);
    if (Is('+') || Is('-') || Is(' ')) spec.sign = Take();
    spec.no_negative_zero = Skip('z');
    spec.alternate = Skip('#');
    if (Skip('0')) {
      if (!fill_given_) spec.fill = "0";
      if (spec.align == '\0') spec.align = '0';  // '=' for numbers, nothing for strings
    }
    ASSIGN_OR_RETURN(spec.width, ReadNumber());
    if (Is(',') || Is('_')) spec.grouping = Take();
    if (Is(',') || Is('_')) return absl::InvalidArgumentError("cannot specify both ',' and '_'");
    if (Skip('.')) {
      ASSIGN_OR_RETURN(spec.precision, ReadNumber());
      if (spec.precision < 0)
        return absl::InvalidArgumentError("format specifier missing precision");
    }
    if (text_.size() > 1) return absl::InvalidArgumentError("invalid format specifier");
    if (!text_.empty()) spec.type = Take();
    return spec;
  }

 private:
  bool Is(char c) const { return !text_.empty() && text_[0] == c; }
  char Take() {
    const char c = text_[0];
    text_.remove_prefix(1);
    return c;
  }
  bool Skip(char c) {
    const bool is = Is(c);
    if (is) Take();
    return is;
  }

  void ReadAlignment(Spec& spec) {
    if (text_.empty()) return;
    const auto size = static_cast<size_t>(FirstUtf8Character(text_).size);
    if (size < text_.size() && IsAlign(text_[size])) {
      spec.fill = std::string(text_.substr(0, size));
      spec.align = text_[size];
      fill_given_ = true;
      text_.remove_prefix(size + 1);
    } else if (IsAlign(text_[0])) {
      spec.align = Take();
    }
  }

  // -1: there is none.
  absl::StatusOr<int64_t> ReadNumber() {
    if (text_.empty() || !IsDigit(text_[0])) return -1;
    constexpr int64_t kNumberMax = 1'000'000'000;
    int64_t number = 0;
    while (!text_.empty() && IsDigit(text_[0])) {
      number = number * 10 + (Take() - '0');
      if (number > kNumberMax) return absl::InvalidArgumentError("too many digits in a format");
    }
    return number;
  }

  std::string_view text_;
  bool fill_given_ = false;
};

absl::Status UnknownType(char type, const Value& value) {
  return absl::InvalidArgumentError(absl::StrCat("unknown format code '", std::string(1, type),
                                                 "' for object of type '", value.TypeName(), "'"));
}

void Repeat(std::string_view text, int64_t times, TextBuilder& out) {
  for (int64_t i = 0; i < times && out.Check().ok(); ++i) out.AppendUntrusted(text);
}

// `head` (sign and prefix), the fill where it belongs, and `body` of `length` characters.
absl::Status AppendPadded(const Spec& spec, char default_align, std::string_view head,
                          const Text& body, TextBuilder& out) {
  const char align = spec.align == '\0' ? default_align : spec.align;
  const int64_t missing = std::max<int64_t>(
      spec.width - static_cast<int64_t>(head.size()) - CountCodePoints(body.view()), 0);
  const int64_t before = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  const int64_t inside = align == '=' ? missing : 0;
  Repeat(spec.fill, before, out);
  out.AppendUntrusted(head);
  Repeat(spec.fill, inside, out);
  out.Append(body);
  Repeat(spec.fill, missing - before - inside, out);
  return out.Check();
}

absl::Status AppendText(const Spec& spec, const Value& value, TextBuilder& out) {
  Spec padding = spec;
  if (spec.type != '\0' && spec.type != 's') return UnknownType(spec.type, value);
  if (spec.sign != '-') return absl::InvalidArgumentError("a sign is not for strings");
  if (spec.no_negative_zero) return absl::InvalidArgumentError("'z' is not for strings");
  if (spec.alternate) return absl::InvalidArgumentError("'#' is not for strings");
  if (spec.grouping != '\0') return absl::InvalidArgumentError("grouping is not for strings");
  if (spec.align == '=') return absl::InvalidArgumentError("'=' alignment is not for strings");
  if (padding.align == '0') padding.align = '<';
  const Text& text = *value.string();
  const int64_t length = CountCodePoints(text.view());
  if (spec.precision < 0 || spec.precision >= length) {
    return AppendPadded(padding, '<', "", text, out);
  }
  return AppendPadded(padding, '<', "",
                      text.Substring(0, SkipCodePoints(text.view(), spec.precision)), out);
}

std::string Sign(const Spec& spec, bool negative) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

// Separates the digits in groups. With zeros as the fill inside, fills up to `width` first, as the
// zeros are grouped too.
std::string Group(std::string_view digits, const Spec& spec, size_t group_size, int64_t width) {
  std::string reversed;
  size_t in_group = 0;
  const auto add = [&](char c) {
    if (spec.grouping != '\0' && in_group == group_size) {
      reversed += spec.grouping;
      in_group = 0;
    }
    reversed += c;
    ++in_group;
  };
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) add(*digit);
  while (static_cast<int64_t>(reversed.size()) < width) add('0');
  return std::string(reversed.rbegin(), reversed.rend());
}

// A number: sign and prefix, digits to be grouped, and the rest.
absl::Status AppendNumber(Spec spec, const std::string& head, const std::string& digits,
                          size_t group_size, const std::string& rest, TextBuilder& out) {
  if (spec.align == '0') spec.align = '=';
  const bool zeros_inside = spec.align == '=' && spec.fill == "0" && spec.grouping != '\0';
  const int64_t width = zeros_inside
                            ? std::min<int64_t>(spec.width - static_cast<int64_t>(head.size()) -
                                                    static_cast<int64_t>(rest.size()),
                                                static_cast<int64_t>(out.room()) + 1)
                            : 0;
  return AppendPadded(spec, '>', head,
                      Text::Untrusted(Group(digits, spec, group_size, width) + rest), out);
}

absl::Status AppendInteger(const Spec& spec, int64_t integer, const Value& value,
                           TextBuilder& out) {
  if (spec.precision >= 0) {
    return absl::InvalidArgumentError("a precision is not for integers");
  }
  if (spec.no_negative_zero) return absl::InvalidArgumentError("'z' is not for integers");
  if (spec.type == 'c') {
    if (spec.sign != '-' || spec.alternate || spec.grouping != '\0') {
      return absl::InvalidArgumentError("a sign, '#' or grouping is not for 'c'");
    }
    if (integer < 0 || integer > 0x10FFFF) {
      return absl::InvalidArgumentError("%c needs a character's number");
    }
    std::string character;
    AppendUtf8(static_cast<char32_t>(integer), character);
    Spec padding = spec;
    if (padding.align == '0') padding.align = '=';
    return AppendPadded(padding, '<', "", Text::Untrusted(character), out);
  }
  int base = 10;
  std::string head = Sign(spec, integer < 0);
  switch (spec.type) {
    case '\0':
    case 'd':
      break;
    case 'n':
      if (spec.grouping != '\0') return absl::InvalidArgumentError("grouping is not for 'n'");
      break;
    case 'b':
      base = 2;
      break;
    case 'o':
      base = 8;
      break;
    case 'x':
    case 'X':
      base = 16;
      break;
    default:
      return UnknownType(spec.type, value);
  }
  if (base != 10 && spec.grouping == ',') {
    return absl::InvalidArgumentError("',' is not for this type");
  }
  if (base != 10 && spec.alternate) absl::StrAppend(&head, "0", std::string(1, spec.type));
  return AppendNumber(spec, head, FormatMagnitude(Magnitude(integer), base, spec.type == 'X'),
                      base == 10 ? 3 : 4, "", out);
}

// Without a type: repr() or, with a precision, 'g', either way with a digit behind the point.
std::string FormatPlainFloat(const Spec& spec, double magnitude) {
  if (spec.precision < 0) return FormatFloat(magnitude);
  std::string text = FormatFloatAs('g', static_cast<int>(std::max<int64_t>(spec.precision, 1)),
                                   spec.alternate, magnitude);
  // One digit more in front of the point than 'g' would show with an exponent.
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos && text.find('.') == std::string::npos) {
    // "similar to 'g', except that … at least one digit past the decimal point": with as many
    // digits as the precision in front of the point, that is an exponent.
    if (static_cast<int64_t>(text.size()) >= spec.precision) {
      text = FormatFloatAs('e', static_cast<int>(std::max<int64_t>(spec.precision - 1, 0)),
                           spec.alternate, magnitude);
      const size_t e = text.find('e');
      std::string mantissa = text.substr(0, e);
      if (!spec.alternate && mantissa.find('.') != std::string::npos) {
        mantissa.erase(mantissa.find_last_not_of('0') + 1);
        if (mantissa.ends_with('.')) mantissa.pop_back();
      }
      return mantissa + text.substr(e);
    }
    return text + ".0";
  }
  return text;
}

absl::Status AppendFloat(const Spec& spec, double number, const Value& value, TextBuilder& out) {
  constexpr std::string_view kTypes("\0eEfFgGn%", 9);
  if (kTypes.find(spec.type) == std::string_view::npos) return UnknownType(spec.type, value);
  if (spec.type == 'n' && spec.grouping != '\0') {
    return absl::InvalidArgumentError("grouping is not for 'n'");
  }
  if (spec.precision > kPrecisionMax) return absl::InvalidArgumentError("precision too big");
  const bool percent = spec.type == '%';
  const double scaled = percent ? number * 100 : number;
  const double magnitude = std::abs(scaled);
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  std::string text;
  if (!std::isfinite(magnitude)) {
    text = std::isnan(magnitude) ? "nan" : "inf";
    if (spec.type == 'E' || spec.type == 'F' || spec.type == 'G') {
      text = std::isnan(magnitude) ? "NAN" : "INF";
    }
  } else if (spec.type == '\0') {
    text = FormatPlainFloat(spec, magnitude);
  } else {
    text = FormatFloatAs(percent            ? 'f'
                         : spec.type == 'n' ? 'g'
                                            : spec.type,
                         precision, spec.alternate, magnitude);
  }
  bool negative = std::signbit(scaled) && !std::isnan(scaled);
  if (spec.no_negative_zero && text.find_first_of("123456789in") == std::string::npos) {
    negative = false;
  }
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  return AppendNumber(spec, Sign(spec, negative), text.substr(0, digits), 3,
                      text.substr(digits) + (percent ? "%" : ""), out);
}

}  // namespace

std::string FormatFloatAs(char kind, int precision, bool alternate, double value) {
  const std::string format = absl::StrCat("%", alternate ? "#" : "", ".*", std::string(1, kind));
  const int size = std::snprintf(nullptr, 0, format.c_str(), precision, value);
  std::string text(static_cast<size_t>(size) + 1, '\0');
  std::snprintf(text.data(), text.size(), format.c_str(), precision, value);
  text.pop_back();
  return text;
}

uint64_t Magnitude(int64_t value) {
  return value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

std::string FormatMagnitude(uint64_t magnitude, int base, bool upper) {
  const char* const digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), digits[magnitude % static_cast<uint64_t>(base)]);
    magnitude /= static_cast<uint64_t>(base);
  } while (magnitude > 0);
  return text;
}

absl::Status AppendFormatted(const Value& value, std::string_view spec_text, TextBuilder& out) {
  if (spec_text.empty()) return AppendStr(value, out);
  const bool is_number = value.AsNumber().has_value();
  if (value.string() == nullptr && !is_number) {
    return absl::InvalidArgumentError(
        absl::StrCat("unsupported format string passed to ", value.TypeName(), ".__format__"));
  }
  ASSIGN_OR_RETURN(const Spec spec, SpecReader(spec_text).Read());
  if (value.string() != nullptr) return AppendText(spec, value, out);
  const auto integer = value.AsInteger();
  constexpr std::string_view kFloatTypes = "eEfFgG%";
  if (integer && (spec.type == '\0' || kFloatTypes.find(spec.type) == std::string_view::npos)) {
    return AppendInteger(spec, *integer, value, out);
  }
  return AppendFloat(spec, *value.AsNumber(), value, out);
}

}  // namespace spillway::jinja
