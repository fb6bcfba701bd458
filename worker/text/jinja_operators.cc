#include "worker/text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_strings.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

constexpr int kNestingMax = 200;  // of lists that are compared; they may contain themselves

std::string_view Symbol(Operator op) {
  constexpr std::string_view kSymbols[] = {
      "+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[static_cast<int>(op)];
}

absl::Status TooBig() { return absl::InvalidArgumentError("an integer is beyond 64 bits"); }

absl::Status TypeError(Operator op, const Value& left, const Value& right) {
  if (left.is_undefined()) return UndefinedError(left);
  if (right.is_undefined()) return UndefinedError(right);
  if (left.big_integer() != nullptr || right.big_integer() != nullptr) return TooBig();
  return absl::InvalidArgumentError(absl::StrCat("unsupported operand types for ",
                                                 std::string(Symbol(op)), ": '", left.TypeName(),
                                                 "' and '", right.TypeName(), "'"));
}

absl::Status DivisionByZero() { return absl::InvalidArgumentError("division by zero"); }

// Floor division and modulo have the sign of the divisor.
int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

absl::StatusOr<Value> FloatPower(double base, double exponent);

absl::StatusOr<Value> IntegerPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    return FloatPower(static_cast<double>(base), static_cast<double>(exponent));
  }
  if (exponent > 64 && base != 0 && base != 1 && base != -1) return TooBig();
  if (exponent > 64) exponent = 64 + exponent % 2;
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return TooBig();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> ComputeIntegers(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Operator::kAdd:
      return __builtin_add_overflow(a, b, &result) ? absl::StatusOr<Value>(TooBig())
                                                   : Value::Int(result);
    case Operator::kSubtract:
      return __builtin_sub_overflow(a, b, &result) ? absl::StatusOr<Value>(TooBig())
                                                   : Value::Int(result);
    case Operator::kMultiply:
      return __builtin_mul_overflow(a, b, &result) ? absl::StatusOr<Value>(TooBig())
                                                   : Value::Int(result);
    case Operator::kPower:
      return IntegerPower(a, b);
    default:
      break;
  }
  if (b == 0) return DivisionByZero();
  if (op == Operator::kDivide) {
    // Python rounds once; a long double holds both exactly.
    return Value::Float(
        static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
  }
  if (b == -1) {  // The smallest integer has no opposite.
    if (op == Operator::kModulo) return Value::Int(0);
    return __builtin_sub_overflow(0, a, &result) ? absl::StatusOr<Value>(TooBig())
                                                 : Value::Int(result);
  }
  const int64_t quotient = FloorDivide(a, b);
  return Value::Int(op == Operator::kFloorDivide ? quotient : a - quotient * b);
}

absl::StatusOr<Value> FloatPower(double base, double exponent) {
  if (base == 0 && exponent < 0) return DivisionByZero();
  const double power = std::pow(base, exponent);
  if (std::isnan(power) && !std::isnan(base) && !std::isnan(exponent)) {
    return absl::InvalidArgumentError("a negative number to a fractional power is no real number");
  }
  if (std::isinf(power) && std::isfinite(base) && std::isfinite(exponent)) {
    return absl::InvalidArgumentError("a power is too big for a float");
  }
  return Value::Float(power);
}

// As Python's float_divmod in Objects/floatobject.c rounds and signs.
absl::StatusOr<Value> DivideFloats(Operator op, double a, double b) {
  if (b == 0) return DivisionByZero();
  if (op == Operator::kDivide) return Value::Float(a / b);
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder == 0) {
    remainder = std::copysign(0.0, b);
  } else if ((remainder < 0) != (b < 0)) {
    remainder += b;
    quotient -= 1;
  }
  if (op == Operator::kModulo) return Value::Float(remainder);
  if (quotient == 0) return Value::Float(std::copysign(0.0, a / b));
  const double floor = std::floor(quotient);
  return Value::Float(quotient - floor > 0.5 ? floor + 1 : floor);
}

absl::StatusOr<Value> ComputeFloats(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value::Float(a + b);
    case Operator::kSubtract:
      return Value::Float(a - b);
    case Operator::kMultiply:
      return Value::Float(a * b);
    case Operator::kPower:
      return FloatPower(a, b);
    default:
      return DivideFloats(op, a, b);
  }
}

Sequence::Flavor ListOrTuple(const Sequence& sequence) {
  return sequence.is_tuple() ? Sequence::Flavor::kTuple : sequence.flavor;
}

absl::StatusOr<Value> Repeat(const Value& value, int64_t times, Heap& heap) {
  if (const Text* text = value.string()) {
    TextBuilder out(heap);
    for (int64_t i = 0; i < times && text->size() > 0; ++i) {
      out.Append(*text);
      RETURN_IF_ERROR(out.Check());
    }
    if (text->is_markup()) out.SetMarkup();
    return out.Finish();
  }
  const Sequence& sequence = *value.sequence();
  std::vector<Value> items;
  for (int64_t i = 0; i < times && !sequence.items.empty(); ++i) {
    heap.budget().Charge(static_cast<int64_t>(sequence.items.size()));
    RETURN_IF_ERROR(heap.budget().Check());
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return heap.NewSequence(ListOrTuple(sequence), std::move(items));
}

// A number that compares exactly whether it was an integer or a float; -1, 0 or 1. Nothing where
// one is no number, or not a number.
std::optional<int> CompareNumbers(const Value& left, const Value& right) {
  if (!left.AsNumber() || !right.AsNumber()) return std::nullopt;
  const auto exact = [](const Value& value) -> long double {
    if (const auto integer = value.AsInteger()) return static_cast<long double>(*integer);
    return *value.floating();
  };
  const long double a = exact(left);
  const long double b = exact(right);
  if (std::isnan(a) || std::isnan(b)) return std::nullopt;
  return a < b ? -1 : a > b ? 1 : 0;
}

bool IsListOrTuple(const Value& value) {
  return value.sequence() != nullptr &&
         (value.sequence()->flavor == Sequence::Flavor::kList || value.sequence()->is_tuple());
}

// Of two lists, or two tuples: a group of groupby is one.
bool AreOfOneKind(const Sequence& a, const Sequence& b) {
  return a.flavor == b.flavor || (a.is_tuple() && b.is_tuple());
}

// Whether all of `part` is in `whole`, as of two sets.
bool IsSubset(const Sequence& part, const Sequence& whole, Budget& budget) {
  return std::all_of(part.items.begin(), part.items.end(), [&](const Value& item) {
    return std::any_of(whole.items.begin(), whole.items.end(),
                       [&](const Value& other) { return Equals(item, other, budget); });
  });
}

bool SequencesEqual(const Sequence& a, const Sequence& b, Budget& budget, int depth) {
  if (&a == &b) return true;
  if (a.is_set_like() && b.is_set_like()) {
    return a.items.size() == b.items.size() && IsSubset(a, b, budget);
  }
  return AreOfOneKind(a, b) && a.has_subscript() &&
         std::equal(
             a.items.begin(), a.items.end(), b.items.begin(), b.items.end(),
             [&](const Value& x, const Value& y) { return Equals(x, y, budget, depth + 1); });
}

}  // namespace

absl::Status UndefinedError(const Value& value) {
  const Undefined* const undefined = value.undefined();
  return absl::InvalidArgumentError(undefined == nullptr || undefined->name == nullptr
                                        ? "a value is undefined"
                                        : absl::StrCat("'", *undefined->name, "' is undefined"));
}

absl::Status NotHashable(const Value& value) {
  return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", value.TypeName(), "'"));
}

bool Equals(const Value& left, const Value& right, Budget& budget, int depth) {
  budget.Charge(1);
  if (depth > kNestingMax || budget.exhausted()) return false;
  if (left.is_undefined() || right.is_undefined()) {
    return left.is_undefined() && right.is_undefined();
  }
  if (left.is_none() || right.is_none()) return left.is_none() && right.is_none();
  if (left.AsNumber() && right.AsNumber()) return CompareNumbers(left, right) == 0;
  if (left.big_integer() != nullptr && right.big_integer() != nullptr) {
    return *left.big_integer() == *right.big_integer();
  }
  if (left.string() != nullptr && right.string() != nullptr) {
    if (left.string()->size() != right.string()->size()) return false;
    budget.ChargeBytes(left.string()->size());
    return left.string()->view() == right.string()->view();
  }
  if (left.sequence() != nullptr && right.sequence() != nullptr) {
    return SequencesEqual(*left.sequence(), *right.sequence(), budget, depth);
  }
  if (left.dict() != nullptr && right.dict() != nullptr) {
    const Dict& a = *left.dict();
    const Dict& b = *right.dict();
    if (a.entries().size() != b.entries().size()) return false;
    return std::all_of(a.entries().begin(), a.entries().end(), [&](const Dict::Entry& entry) {
      const Value* const other = b.Find(entry.key);
      return other != nullptr && Equals(entry.value, *other, budget, depth + 1);
    });
  }
  return left.object() != nullptr && left.object() == right.object();
}

absl::StatusOr<bool> Less(const Value& left, const Value& right, Budget& budget, int depth) {
  budget.Charge(1);
  RETURN_IF_ERROR(budget.Check());
  if (left.AsNumber() && right.AsNumber()) return CompareNumbers(left, right) == -1;
  if (left.string() != nullptr && right.string() != nullptr) {
    budget.ChargeBytes(std::min(left.string()->size(), right.string()->size()));
    return left.string()->view() < right.string()->view();  // UTF-8 sorts as its code points do.
  }
  if (left.sequence() != nullptr && right.sequence() != nullptr && left.sequence()->is_set_like() &&
      right.sequence()->is_set_like()) {
    return left.sequence()->items.size() < right.sequence()->items.size() &&
           IsSubset(*left.sequence(), *right.sequence(), budget);
  }
  if (IsListOrTuple(left) && IsListOrTuple(right) && depth < kNestingMax &&
      AreOfOneKind(*left.sequence(), *right.sequence())) {
    const auto& a = left.sequence()->items;
    const auto& b = right.sequence()->items;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      if (!Equals(a[i], b[i], budget, depth + 1)) return Less(a[i], b[i], budget, depth + 1);
    }
    return a.size() < b.size();
  }
  return TypeError(Operator::kLess, left, right);
}

absl::StatusOr<bool> Contains(const Value& container, const Value& element, Budget& budget) {
  if (const Text* text = container.string()) {
    if (element.string() == nullptr) return TypeError(Operator::kIn, element, container);
    budget.ChargeBytes(text->size());
    return FindText(text->view(), element.string()->view()) != std::string_view::npos;
  }
  const Sequence* const keys = container.sequence();
  if ((container.dict() != nullptr ||
       (keys != nullptr && keys->flavor == Sequence::Flavor::kKeys)) &&
      !IsHashable(element)) {
    return NotHashable(element);
  }
  budget.ChargeText(element);
  if (const Sequence* sequence = container.sequence()) {
    return std::any_of(sequence->items.begin(), sequence->items.end(),
                       [&](const Value& item) { return Equals(item, element, budget); });
  }
  if (const Dict* dict = container.dict()) return dict->Find(element) != nullptr;
  if (container.is_undefined()) return false;
  return absl::InvalidArgumentError(
      absl::StrCat("argument of type '", container.TypeName(), "' is not iterable"));
}

absl::StatusOr<bool> Compare(Operator op, const Value& left, const Value& right, Budget& budget) {
  switch (op) {
    case Operator::kEqual:
      return Equals(left, right, budget);
    case Operator::kNotEqual:
      return !Equals(left, right, budget);
    case Operator::kIn:
      return Contains(right, left, budget);
    case Operator::kNotIn: {
      ASSIGN_OR_RETURN(const bool contains, Contains(right, left, budget));
      return !contains;
    }
    case Operator::kLess:
      return Less(left, right, budget);
    case Operator::kGreater:
      return Less(right, left, budget);
    default:
      break;
  }
  ASSIGN_OR_RETURN(const bool less, op == Operator::kLessEqual ? Less(left, right, budget)
                                                               : Less(right, left, budget));
  return less || Equals(left, right, budget);
}

absl::StatusOr<Value> Compute(Operator op, const Value& left, const Value& right, Heap& heap) {
  if (left.AsInteger() && right.AsInteger()) {
    return ComputeIntegers(op, *left.AsInteger(), *right.AsInteger());
  }
  if (left.AsNumber() && right.AsNumber()) {
    return ComputeFloats(op, *left.AsNumber(), *right.AsNumber());
  }
  if (op == Operator::kAdd && left.string() != nullptr && right.string() != nullptr) {
    TextBuilder out(heap);
    const bool markup = left.string()->is_markup() || right.string()->is_markup();
    for (const Text* text : {left.string(), right.string()}) {
      markup ? EscapeHtml(*text, out) : out.Append(*text);
    }
    if (markup) out.SetMarkup();
    return out.Finish();
  }
  if (op == Operator::kAdd && IsListOrTuple(left) && IsListOrTuple(right) &&
      AreOfOneKind(*left.sequence(), *right.sequence())) {
    std::vector<Value> items = left.sequence()->items;
    items.insert(items.end(), right.sequence()->items.begin(), right.sequence()->items.end());
    return heap.NewSequence(ListOrTuple(*left.sequence()), std::move(items));
  }
  if (op == Operator::kMultiply && (left.string() != nullptr || IsListOrTuple(left)) &&
      right.AsInteger()) {
    return Repeat(left, *right.AsInteger(), heap);
  }
  if (op == Operator::kMultiply && (right.string() != nullptr || IsListOrTuple(right)) &&
      left.AsInteger()) {
    return Repeat(right, *left.AsInteger(), heap);
  }
  return TypeError(op, left, right);
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Heap& heap) {
  std::vector<Value> items;
  if (Sequence* sequence = value.sequence()) {
    if (sequence->flavor == Sequence::Flavor::kGenerator) {
      items.swap(sequence->items);
    } else {
      items = sequence->items;
    }
  } else if (const Dict* dict = value.dict()) {
    for (const Dict::Entry& entry : dict->entries()) items.push_back(entry.key);
  } else if (const Text* text = value.string()) {
    for (size_t at = 0; at < text->size();) {
      const auto size = static_cast<size_t>(FirstUtf8Character(text->view().substr(at)).size);
      Text character = text->Substring(at, at + size);
      character.set_markup(false);
      items.push_back(heap.NewString(std::move(character)));
      at += size;
      heap.budget().Charge(1);
      RETURN_IF_ERROR(heap.budget().Check());
    }
  } else if (!value.is_undefined()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", value.TypeName(), "' object is not iterable"));
  }
  heap.budget().Charge(static_cast<int64_t>(items.size()));
  RETURN_IF_ERROR(heap.budget().Check());
  return items;
}

absl::StatusOr<int64_t> Length(const Value& value) {
  if (const Text* text = value.string()) return CountCodePoints(text->view());
  if (const Sequence* sequence = value.sequence();
      sequence != nullptr && sequence->flavor != Sequence::Flavor::kGenerator) {
    return static_cast<int64_t>(sequence->items.size());
  }
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries().size());
  if (value.is_undefined()) return 0;
  return absl::InvalidArgumentError(
      absl::StrCat("object of type '", value.TypeName(), "' has no len()"));
}

}  // namespace spillway::jinja
