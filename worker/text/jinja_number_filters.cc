#include <charconv>
#include <cmath>
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

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

std::string Stripped(const Text& text) {
  return std::string(Strip(text, nullptr, Side::kBoth).view());
}

// int(text, base).
std::optional<int64_t> ParseInteger(std::string text, int base) {
  std::erase(text, '_');
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.erase(0, 1);
  const std::string prefix = text.substr(0, 2);
  if ((base == 16 && (prefix == "0x" || prefix == "0X")) ||
      (base == 8 && (prefix == "0o" || prefix == "0O")) ||
      (base == 2 && (prefix == "0b" || prefix == "0B"))) {
    text.erase(0, 2);
  }
  if (text.starts_with('-')) return std::nullopt;
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return negative ? -value : value;
}

std::optional<double> ParseFloat(const Value& value) {
  if (const auto number = value.AsNumber()) return number;
  double number = 0;
  if (value.string() == nullptr) return std::nullopt;
  std::string text = Stripped(*value.string());
  std::erase(text, '_');
  if (!absl::SimpleAtod(text, &number)) return std::nullopt;
  return number;
}

Result Int(Interpreter& /*interpreter*/, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("int", arguments, {"default", "base"}));
  ASSIGN_OR_RETURN(const int64_t base, bound.GetInteger(1, 10));
  if (base < 2 || base > 36) return absl::InvalidArgumentError("int(): base must be 2 to 36");
  if (input.is_undefined()) return UndefinedError(input);
  if (const auto integer = input.AsInteger()) return Value::Int(*integer);
  if (const Text* text = input.string()) {
    if (const auto integer = ParseInteger(Stripped(*text), static_cast<int>(base))) {
      return Value::Int(*integer);
    }
  }
  const auto number = ParseFloat(input);
  if (number.has_value() && std::abs(*number) < 9.2e18) {
    return Value::Int(static_cast<int64_t>(*number));
  }
  return bound.Get(0, Value::Int(0));
}

Result Float(Interpreter& /*interpreter*/, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("float", arguments, {"default"}));
  if (input.is_undefined()) return UndefinedError(input);
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
  if (method == "ceil") return Value::Float(std::ceil(*number * scale) / scale);
  if (method == "floor") return Value::Float(std::floor(*number * scale) / scale);
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
