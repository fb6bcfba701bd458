#include "worker/text/jinja_value.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace spillway::jinja {
namespace {

// Of tuples in tuples: one that holds another twice and that the next twice grows fast.
constexpr size_t kNameBytesMax = 64 << 10;

std::optional<std::string> KeyName(const Value& key);

std::optional<std::string> SequenceName(const Sequence& sequence) {
  switch (sequence.flavor) {
    case Sequence::Flavor::kTuple:
    case Sequence::Flavor::kGroup: {
      std::string name = "(";
      for (const Value& item : sequence.items) {
        const auto part = KeyName(item);
        if (!part.has_value()) return std::nullopt;
        absl::StrAppend(&name, part->size(), ":", *part);
        if (name.size() > kNameBytesMax) return std::nullopt;
      }
      return name;
    }
    case Sequence::Flavor::kRange:
      if (sequence.items.empty()) return "range";
      return absl::StrCat("range", *sequence.items.front().integer(), ":", sequence.items.size(),
                          ":", sequence.items.size() > 1 ? sequence.step : 0);
    case Sequence::Flavor::kValues:
    case Sequence::Flavor::kGenerator:
      return absl::StrFormat("at%p", &sequence);
    default:
      return std::nullopt;
  }
}

// Equal names exactly for equal keys; nothing for values that can't be keys. Numbers are one kind:
// 1, 1.0 and true are the same key, as in Python.
std::optional<std::string> KeyName(const Value& key) {
  if (const Text* text = key.string()) return absl::StrCat("s", std::string(text->view()));
  if (key.is_none()) return "none";
  if (key.is_undefined()) return "undefined";
  if (const std::string* digits = key.big_integer()) return absl::StrCat("n", *digits);
  if (const Sequence* sequence = key.sequence()) return SequenceName(*sequence);
  if (key.object() != nullptr) return absl::StrFormat("at%p", key.object());
  if (const auto integer = key.AsInteger()) return absl::StrCat("n", *integer);
  if (const double* number = key.floating()) {
    if (std::trunc(*number) == *number && std::abs(*number) < 9e18) {
      return absl::StrCat("n", static_cast<int64_t>(*number));
    }
    return absl::StrFormat("f%.17g", *number);
  }
  return std::nullopt;
}

}  // namespace

bool IsHashable(const Value& value) { return KeyName(value).has_value(); }

std::optional<int64_t> Value::AsInteger() const {
  if (const bool* value = boolean()) return *value ? 1 : 0;
  if (const int64_t* value = integer()) return *value;
  return std::nullopt;
}

std::optional<double> Value::AsNumber() const {
  if (const double* value = floating()) return *value;
  if (const auto value = AsInteger()) return static_cast<double>(*value);
  return std::nullopt;
}

bool Value::IsTrue() const {
  if (is_undefined() || is_none()) return false;
  if (const auto number = AsNumber()) return *number != 0;
  if (const Text* text = string()) return text->size() > 0;
  if (const Sequence* items = sequence()) {
    return items->flavor == Sequence::Flavor::kGenerator || !items->items.empty();
  }
  if (const Dict* entries = dict()) return !entries->entries().empty();
  return true;
}

std::string Value::TypeName() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (boolean() != nullptr) return "bool";
  if (integer() != nullptr || big_integer() != nullptr) return "int";
  if (floating() != nullptr) return "float";
  if (string() != nullptr) return "str";
  if (dict() != nullptr) return "dict";
  if (object() != nullptr) return object()->TypeName();
  switch (sequence()->flavor) {
    case Sequence::Flavor::kList:
      return "list";
    case Sequence::Flavor::kTuple:
    case Sequence::Flavor::kGroup:
      return "tuple";
    case Sequence::Flavor::kRange:
      return "range";
    case Sequence::Flavor::kKeys:
      return "dict_keys";
    case Sequence::Flavor::kValues:
      return "dict_values";
    case Sequence::Flavor::kItems:
      return "dict_items";
    case Sequence::Flavor::kGenerator:
      return "generator";
  }
  return "";
}

std::optional<size_t> Dict::IndexOf(const std::string& name) const {
  if (names_.size() <= kScanMax) {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == name) return i;
    }
    return std::nullopt;
  }
  const auto found = positions_.find(name);
  if (found == positions_.end()) return std::nullopt;
  return found->second;
}

const Value* Dict::Find(const Value& key) const {
  const auto name = KeyName(key);
  if (!name.has_value()) return nullptr;
  const auto index = IndexOf(*name);
  return index.has_value() ? &entries_[*index].value : nullptr;
}

const Value* Dict::Find(std::string_view key) const {
  const auto index = IndexOf(absl::StrCat("s", std::string(key)));
  return index.has_value() ? &entries_[*index].value : nullptr;
}

bool Dict::Set(const Value& key, Value value) {
  auto name = KeyName(key);
  if (!name.has_value()) return false;
  if (const auto index = IndexOf(*name)) {
    entries_[*index].value = std::move(value);
    return true;
  }
  entries_.push_back({key, std::move(value)});
  names_.push_back(*std::move(name));
  if (names_.size() == kScanMax + 1) {
    for (size_t i = 0; i < names_.size(); ++i) positions_[names_[i]] = i;
  } else if (names_.size() > kScanMax) {
    positions_[names_.back()] = names_.size() - 1;
  }
  return true;
}

Value Object::Attribute(Interpreter& /*interpreter*/, std::string_view /*name*/) { return {}; }

absl::StatusOr<Value> Object::Call(Interpreter& /*interpreter*/, const Arguments& /*arguments*/) {
  return absl::InvalidArgumentError(absl::StrCat("'", TypeName(), "' object is not callable"));
}

}  // namespace spillway::jinja
