#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_filter_groups.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_strings.h"
#include "worker/text/unicode_classes.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// Other scripts' decimal digits as ASCII's, which Python reads them as.
std::string WithAsciiDigits(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character c = FirstUtf8Character(text);
    if (c.code_point >= 0x80 && unicode::IsDecimal(c.code_point)) {
      out += static_cast<char>('0' + unicode::DecimalValue(c.code_point));
    } else {
      out += text.substr(0, static_cast<size_t>(c.size));
    }
    text.remove_prefix(static_cast<size_t>(c.size));
  }
  return out;
}

// Takes out underscores that stand between digits. False: one stands elsewhere.
bool RemoveUnderscores(std::string& text) {
  const auto is_digit = [&](size_t i) {
    return i < text.size() && std::isalnum(static_cast<unsigned char>(text[i])) != 0;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && (i == 0 || !is_digit(i - 1) || !is_digit(i + 1))) return false;
  }
  std::erase(text, '_');
  return true;
}

absl::Status BeyondSixtyFourBits() {
  return absl::InvalidArgumentError("an integer is beyond 64 bits");
}

// int(text, base); nothing where Python raises. INVALID_ARGUMENT: too big for us.
absl::StatusOr<std::optional<int64_t>> ParseInteger(const Text& source, int64_t base) {
  std::string text = WithAsciiDigits(Strip(source, nullptr, Side::kBoth).view());
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  const char kind = text.size() > 1 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  const int64_t prefixed = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
  if (prefixed != 0 && (base == 0 || base == prefixed)) {
    base = prefixed;
    text.erase(0, 2);
    if (text.starts_with('_')) text.erase(0, 1);
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string::npos) {
      return std::nullopt;
    }
  }
  if (text.empty() || !std::isalnum(static_cast<unsigned char>(text[0])) ||
      !RemoveUnderscores(text)) {
    return std::nullopt;
  }
  uint64_t magnitude = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] =
      std::from_chars(text.data(), end, magnitude, static_cast<int>(base));
  if (error == std::errc::invalid_argument || stopped != end) return std::nullopt;
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  if (error == std::errc::result_out_of_range || magnitude > kMost + (negative ? 1 : 0)) {
    return BeyondSixtyFourBits();
  }
  return std::optional<int64_t>(static_cast<int64_t>(negative ? -magnitude : magnitude));
}

// float(value); nothing where Python raises.
std::optional<double> ParseFloat(const Value& value) {
  if (const auto number = value.AsNumber()) return number;
  if (value.string() == nullptr) return std::nullopt;
  std::string text = WithAsciiDigits(Strip(*value.string(), nullptr, Side::kBoth).view());
  // absl reads hexadecimal floats too, and nan with something in parentheses.
  if (text.find_first_of("xX()") != std::string::npos || !RemoveUnderscores(text)) {
    return std::nullopt;
  }
  double number = 0;
  if (!absl::SimpleAtod(text, &number)) return std::nullopt;
  return number;
}

Result Int(Interpreter& /*interpreter*/, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("int", arguments, {"default", "base"}));
  ASSIGN_OR_RETURN(const int64_t base, bound.GetInteger(1, 10));
  if (input.is_undefined()) return UndefinedError(input);
  if (input.big_integer() != nullptr) return input;
  if (const auto integer = input.AsInteger()) return Value::Int(*integer);
  if (input.string() != nullptr && (base == 0 || (base >= 2 && base <= 36))) {
    ASSIGN_OR_RETURN(const auto integer, ParseInteger(*input.string(), base));
    if (integer.has_value()) return Value::Int(*integer);
  }
  const auto number = ParseFloat(input);
  if (!number.has_value() || std::isnan(*number)) return bound.Get(0, Value::Int(0));
  // int() of infinity raises what the filter doesn't catch.
  if (!(std::abs(*number) < 9.2e18)) return BeyondSixtyFourBits();
  return Value::Int(static_cast<int64_t>(*number));
}

Result Float(Interpreter& /*interpreter*/, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("float", arguments, {"default"}));
  if (input.is_undefined()) return UndefinedError(input);
  if (input.big_integer() != nullptr) return BeyondSixtyFourBits();
  const auto number = ParseFloat(input);
  return number.has_value() ? Value::Float(*number) : bound.Get(0, Value::Float(0));
}

Result Abs(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("abs", arguments, {}).status());
  if (input.floating() != nullptr) return Value::Float(std::abs(*input.floating()));
  const auto integer = input.AsInteger();
  if (integer.has_value() && *integer >= 0) return Value::Int(*integer);
  return Compute(Operator::kSubtract, Value::Int(0), input, interpreter.heap());
}

Result Round(Interpreter& /*interpreter*/, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("round", arguments, {"precision", "method"}));
  ASSIGN_OR_RETURN(const int64_t precision, bound.GetInteger(0, 0));
  std::string_view method = "common";
  if (bound.has(1)) {
    ASSIGN_OR_RETURN(const Text* const text, bound.GetText(1));
    method = text->view();
  }
  if (input.is_undefined()) return UndefinedError(input);
  const auto number = input.AsNumber();
  constexpr int64_t kPrecisionMax = 300;
  if (!number.has_value() || std::abs(precision) > kPrecisionMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("round(): can't round ", input.TypeName(), " to ", precision, " digits"));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil" || method == "floor") {
    if (!std::isfinite(*number)) return absl::InvalidArgumentError("round(): not a finite number");
    const double scaled = *number * scale;
    // Python's ceil and floor give integers, which have no -0.
    return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale + 0.0);
  }
  if (method != "common") {
    return absl::InvalidArgumentError("round(): method must be common, ceil or floor");
  }
  if (input.AsInteger() && precision >= 0) return Value::Int(*input.AsInteger());
  if (!std::isfinite(*number)) return Value::Float(*number);
  double rounded = std::nearbyint(*number * scale) / scale;
  if (precision > 0) {  // Of the exact decimal value, which printf works with.
    rounded =
        std::strtod(absl::StrFormat("%.*f", static_cast<int>(precision), *number).c_str(), nullptr);
  }
  if (input.AsInteger()) return Value::Int(static_cast<int64_t>(rounded));
  return Value::Float(rounded);
}

constexpr FilterEntry kFilters[] = {
    {"abs", &Abs},
    {"float", &Float},
    {"int", &Int},
    {"round", &Round},
};

}  // namespace

std::span<const FilterEntry> NumberFilters() { return kFilters; }

}  // namespace spillway::jinja
