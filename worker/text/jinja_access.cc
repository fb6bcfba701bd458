#include "worker/text/jinja_access.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_objects.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_strings.h"

namespace spillway::jinja {
namespace {

// Nothing for none; an integer of a slice otherwise.
absl::StatusOr<std::optional<int64_t>> SliceIndex(const Value& value) {
  if (value.is_none()) return std::optional<int64_t>();
  const auto index = value.AsInteger();
  if (!index.has_value()) return absl::InvalidArgumentError("slice indices must be integers");
  return index;
}

// sequence[index]; undefined where it ends.
Value ItemAt(Interpreter& interpreter, const Value& value, int64_t index) {
  if (const Sequence* sequence = value.sequence()) {
    const auto length = static_cast<int64_t>(sequence->items.size());
    if (!sequence->has_subscript() || index >= length || index < -length) return {};
    return sequence->items[index < 0 ? index + length : index];
  }
  const Text& text = *value.string();
  interpreter.budget().ChargeText(value);
  const int64_t length = CountCodePoints(text.view());
  if (index >= length || index < -length) return {};
  const size_t begin = SkipCodePoints(text.view(), index < 0 ? index + length : index);
  const size_t size = SkipCodePoints(text.view().substr(begin), 1);
  return interpreter.heap().NewString(text.Substring(begin, begin + size));
}

// Attributes that are no methods.
Value FindPlainAttribute(const Value& value, std::string_view name) {
  const Sequence* const sequence = value.sequence();
  if (sequence != nullptr && sequence->flavor == Sequence::Flavor::kGroup) {
    if (name == "grouper") return sequence->items[0];
    if (name == "list") return sequence->items[1];
  }
  if (sequence != nullptr && sequence->flavor == Sequence::Flavor::kRange) {
    if (name == "start") return Value::Int(sequence->start);
    if (name == "stop") return Value::Int(sequence->stop);
    if (name == "step") return Value::Int(sequence->step);
  }
  if (value.floating() != nullptr) {
    if (name == "real") return value;
    if (name == "imag") return Value::Float(0);
  }
  if (const auto integer = value.AsInteger()) {
    if (name == "real" || name == "numerator") return Value::Int(*integer);
    if (name == "imag") return Value::Int(0);
    if (name == "denominator") return Value::Int(1);
  }
  return {};
}

Value FindAttribute(Interpreter& interpreter, const Value& value, std::string_view name) {
  if (value.object() != nullptr) {
    return name.starts_with('_') ? Value() : value.object()->Attribute(interpreter, name);
  }
  Value found = FindPlainAttribute(value, name);
  return found.is_undefined() ? FindMethod(interpreter, value, name) : found;
}

// The sandbox shows nothing of what Python keeps to itself.
bool IsHidden(std::string_view name) { return name.starts_with("__") && name.ends_with("__"); }

}  // namespace

Value FindMethod(Interpreter& interpreter, const Value& value, std::string_view name) {
  const Method method = MethodOf(value, name);
  if (method == nullptr) return {};
  return Value(interpreter.heap().NewObject<Function>(method, value));
}

absl::StatusOr<Value> GetAttribute(Interpreter& interpreter, const Value& value,
                                   const std::string& name) {
  if (value.is_undefined() && name != "__class__") return UndefinedError(value);
  if (IsHidden(name)) return Value(Undefined{&name});
  Value found = FindAttribute(interpreter, value, name);
  if (IsRefusedAttribute(value, name)) return Value(Undefined{.name = &name, .refused = true});
  if (found.is_undefined() && value.dict() != nullptr) {
    if (const Value* const element = value.dict()->Find(std::string_view(name))) return *element;
  }
  if (found.is_undefined()) return Value(Undefined{&name});
  return found;
}

absl::StatusOr<Value> GetItem(Interpreter& interpreter, const Value& value, const Value& key) {
  if (value.is_undefined()) return UndefinedError(value);
  interpreter.budget().ChargeText(key);
  if (const Dict* dict = value.dict()) {
    if (const Value* const element = dict->Find(key)) return *element;
  } else if (value.sequence() != nullptr || value.string() != nullptr) {
    if (const auto index = key.AsInteger()) return ItemAt(interpreter, value, *index);
  }
  if (key.string() == nullptr) return Value();
  return FindAttribute(interpreter, value, key.string()->view());
}

absl::StatusOr<Value> GetSlice(Interpreter& interpreter, const Value& value, const Value& begin,
                               const Value& end, const Value& step) {
  if (value.is_undefined()) return UndefinedError(value);
  ASSIGN_OR_RETURN(const auto first, SliceIndex(begin));
  ASSIGN_OR_RETURN(const auto last, SliceIndex(end));
  ASSIGN_OR_RETURN(const auto stride, SliceIndex(step));
  if (stride == 0) return absl::InvalidArgumentError("slice step cannot be zero");
  interpreter.budget().ChargeText(value);
  if (const Text* text = value.string()) {
    return SliceText(*text, first, last, stride.value_or(1), interpreter.heap());
  }
  const Sequence* const sequence = value.sequence();
  if (sequence == nullptr || !sequence->has_subscript()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", value.TypeName(), "' object can't be sliced"));
  }
  const int64_t by = stride.value_or(1);
  const SliceRange range = ResolveSlice(first, last, by, std::ssize(sequence->items));
  std::vector<Value> items;
  for (int64_t i = 0; i < range.count; ++i) items.push_back(sequence->items[range.first + i * by]);
  const bool plain = sequence->flavor != Sequence::Flavor::kGroup;
  const Value slice = interpreter.heap().NewSequence(
      plain ? sequence->flavor : Sequence::Flavor::kTuple, std::move(items));
  slice.sequence()->start = sequence->start + range.first * sequence->step;
  slice.sequence()->stop = sequence->start + range.last * sequence->step;
  slice.sequence()->step = sequence->step * by;
  return slice;
}

}  // namespace spillway::jinja
