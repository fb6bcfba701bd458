#include "worker/text/jinja_tests.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_filters.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_objects.h"
#include "worker/text/jinja_operators.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<bool>;

// A test without arguments.
template <bool (*kHolds)(const Value&)>
Result Plain(Interpreter& /*interpreter*/, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("the test", arguments, {}).status());
  return kHolds(value);
}

bool IsDefined(const Value& v) { return !v.is_undefined(); }
bool IsUndefined(const Value& v) { return v.is_undefined(); }
bool IsNone(const Value& v) { return v.is_none(); }
bool IsBoolean(const Value& v) { return v.boolean() != nullptr; }
bool IsTrue(const Value& v) { return v.boolean() != nullptr && *v.boolean(); }
bool IsFalse(const Value& v) { return v.boolean() != nullptr && !*v.boolean(); }
bool IsInteger(const Value& v) { return v.integer() != nullptr || v.big_integer() != nullptr; }
bool IsFloat(const Value& v) { return v.floating() != nullptr; }
bool IsNumber(const Value& v) { return v.AsNumber().has_value() || v.big_integer() != nullptr; }
bool IsString(const Value& v) { return v.string() != nullptr; }
bool IsMapping(const Value& v) { return v.dict() != nullptr; }
bool IsSequence(const Value& v) {
  return v.is_undefined() || v.string() != nullptr || v.dict() != nullptr ||
         (v.sequence() != nullptr && v.sequence()->has_subscript());
}
bool IsIterable(const Value& v) {
  return v.is_undefined() || v.string() != nullptr || v.dict() != nullptr ||
         v.sequence() != nullptr;
}
// What is undefined can be called, as far as Python knows; it then raises.
bool IsCallable(const Value& v) {
  return v.is_undefined() || (v.object() != nullptr && v.object()->callable());
}
bool IsEscaped(const Value& v) { return v.string() != nullptr && v.string()->is_markup(); }

template <bool kUpper>
Result IsCase(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("upper", arguments, {}).status());
  ASSIGN_OR_RETURN(const Value text, interpreter.Str(value));
  ASSIGN_OR_RETURN(const Value result,
                   StringMethod(kUpper ? "isupper" : "islower")(interpreter, text, Arguments()));
  return result.IsTrue();
}

Result Divides(Interpreter& interpreter, const Value& value, const Value& divisor,
               int64_t remainder) {
  ASSIGN_OR_RETURN(const Value rest,
                   Compute(Operator::kModulo, value, divisor, interpreter.heap()));
  return rest.AsNumber() == static_cast<double>(remainder);
}

Result IsOdd(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("odd", arguments, {}).status());
  return Divides(interpreter, value, Value::Int(2), 1);
}

Result IsEven(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("even", arguments, {}).status());
  return Divides(interpreter, value, Value::Int(2), 0);
}

Result IsDivisible(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("divisibleby", arguments, {"num"}, 1));
  return Divides(interpreter, value, bound[0], 0);
}

template <Operator kOperator>
Result Compares(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("the test", arguments, {"other"}, 1));
  return Compare(kOperator, value, bound[0], interpreter.budget());
}

// `is`: the same object, or the same none, bool or small number.
Result IsSame(Interpreter& interpreter, const Value& value, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("sameas", arguments, {"other"}, 1));
  const Value& other = bound[0];
  if (value.sequence() != nullptr || value.dict() != nullptr) {
    return value.sequence() == other.sequence() && value.dict() == other.dict();
  }
  return value.TypeName() == other.TypeName() && Equals(value, other, interpreter.budget());
}

Result NamesFilter(Interpreter& /*interpreter*/, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("filter", arguments, {}).status());
  if (!IsHashable(value)) return NotHashable(value);
  return value.string() != nullptr && FindFilter(value.string()->view()) != nullptr;
}

Result NamesTest(Interpreter& /*interpreter*/, const Value& value, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("test", arguments, {}).status());
  if (!IsHashable(value)) return NotHashable(value);
  return value.string() != nullptr && FindTest(value.string()->view()) != nullptr;
}

constexpr TestEntry kTests[] = {
    {"boolean", &Plain<&IsBoolean>},
    {"callable", &Plain<&IsCallable>},
    {"defined", &Plain<&IsDefined>},
    {"divisibleby", &IsDivisible},
    {"eq", &Compares<Operator::kEqual>},
    {"equalto", &Compares<Operator::kEqual>},
    {"escaped", &Plain<&IsEscaped>},
    {"even", &IsEven},
    {"false", &Plain<&IsFalse>},
    {"filter", &NamesFilter},
    {"float", &Plain<&IsFloat>},
    {"ge", &Compares<Operator::kGreaterEqual>},
    {"greaterthan", &Compares<Operator::kGreater>},
    {"gt", &Compares<Operator::kGreater>},
    {"in", &Compares<Operator::kIn>},
    {"integer", &Plain<&IsInteger>},
    {"iterable", &Plain<&IsIterable>},
    {"le", &Compares<Operator::kLessEqual>},
    {"lessthan", &Compares<Operator::kLess>},
    {"lower", &IsCase<false>},
    {"lt", &Compares<Operator::kLess>},
    {"mapping", &Plain<&IsMapping>},
    {"ne", &Compares<Operator::kNotEqual>},
    {"none", &Plain<&IsNone>},
    {"number", &Plain<&IsNumber>},
    {"odd", &IsOdd},
    {"sameas", &IsSame},
    {"sequence", &Plain<&IsSequence>},
    {"string", &Plain<&IsString>},
    {"test", &NamesTest},
    {"true", &Plain<&IsTrue>},
    {"undefined", &Plain<&IsUndefined>},
    {"upper", &IsCase<true>},
};

}  // namespace

const TestEntry* FindTest(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace spillway::jinja
