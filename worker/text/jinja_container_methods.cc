#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_operators.h"

// The methods of lists and dicts. transformers runs templates in a sandbox without those that
// change a list or dict; other engines have them, and some templates are written for those.

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result Append(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("append", arguments, {"object"}, 1));
  interpreter.budget().Charge(1);
  self.sequence()->items.push_back(bound[0]);
  return Value(None{});
}

Result Extend(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("extend", arguments, {"iterable"}, 1));
  ASSIGN_OR_RETURN(const std::vector<Value> more, Iterate(bound[0], interpreter.heap()));
  auto& items = self.sequence()->items;
  items.insert(items.end(), more.begin(), more.end());
  return Value(None{});
}

Result Insert(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("insert", arguments, {"index", "object"}, 2));
  ASSIGN_OR_RETURN(const int64_t index, bound.GetInteger(0, 0));
  auto& items = self.sequence()->items;
  const int64_t length = std::ssize(items);
  const int64_t at =
      std::clamp<int64_t>(index < 0 && index >= -length ? index + length : index, 0, length);
  interpreter.budget().Charge(1 + length / 64);
  items.insert(items.begin() + at, bound[1]);
  return Value(None{});
}

Result PopItem(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("pop", arguments, {"index"}));
  ASSIGN_OR_RETURN(int64_t index, bound.GetInteger(0, -1));
  auto& items = self.sequence()->items;
  const int64_t length = std::ssize(items);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return absl::InvalidArgumentError("pop index out of range");
  interpreter.budget().Charge(1 + length / 64);
  Value value = items[index];
  items.erase(items.begin() + index);
  return value;
}

Result Index(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("index", arguments, {"value"}, 1));
  const auto& items = self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (Equals(items[i], bound[0], interpreter.budget())) {
      return Value::Int(static_cast<int64_t>(i));
    }
  }
  return absl::InvalidArgumentError("the value is not in the list");
}

Result Count(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("count", arguments, {"value"}, 1));
  const auto& items = self.sequence()->items;
  return Value::Int(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return Equals(item, bound[0], interpreter.budget());
  }));
}

Result ReverseInPlace(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("reverse", arguments, {}).status());
  std::reverse(self.sequence()->items.begin(), self.sequence()->items.end());
  return Value(None{});
}

Result CopyList(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("copy", arguments, {}).status());
  return interpreter.heap().NewList(self.sequence()->items);
}

Result ClearList(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("clear", arguments, {}).status());
  self.sequence()->items.clear();
  return Value(None{});
}

enum class Part { kKeys, kValues, kItems };

template <Part kPart>
Result View(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("items", arguments, {}).status());
  Heap& heap = interpreter.heap();
  std::vector<Value> items;
  for (const Dict::Entry& entry : self.dict()->entries()) {
    if (kPart == Part::kItems) {
      items.push_back(heap.NewSequence(Sequence::Flavor::kTuple, {entry.key, entry.value}));
    } else {
      items.push_back(kPart == Part::kKeys ? entry.key : entry.value);
    }
  }
  return heap.NewSequence(Sequence::Flavor::kView, std::move(items));
}

Result Get(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("get", arguments, {"key", "default"}, 1));
  const Value* const found = self.dict()->Find(bound[0]);
  return found != nullptr ? *found : bound.Get(1, None{});
}

Result PopKey(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("pop", arguments, {"key", "default"}, 1));
  const Value* const found = self.dict()->Find(bound[0]);
  if (found == nullptr && !bound.has(1)) return absl::InvalidArgumentError("pop(): no such key");
  if (found == nullptr) return bound[1];
  Value value = *found;
  interpreter.budget().Charge(1 + std::ssize(self.dict()->entries()));
  self.dict()->Remove(bound[0]);
  return value;
}

Result SetDefault(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("setdefault", arguments, {"key", "default"}, 1));
  if (const Value* const found = self.dict()->Find(bound[0])) return *found;
  interpreter.budget().Charge(1);
  if (!self.dict()->Set(bound[0], bound.Get(1, None{}))) {
    return absl::InvalidArgumentError("setdefault(): no possible key");
  }
  return bound.Get(1, None{});
}

Result Update(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  if (arguments.positional.size() > 1 ||
      (arguments.positional.size() == 1 && arguments.positional[0].dict() == nullptr)) {
    return absl::InvalidArgumentError("update() takes one dict");
  }
  if (!arguments.positional.empty()) {
    const std::vector<Dict::Entry> entries = arguments.positional[0].dict()->entries();
    interpreter.budget().Charge(std::ssize(entries));
    for (const Dict::Entry& entry : entries) self.dict()->Set(entry.key, entry.value);
  }
  for (const auto& [name, value] : arguments.named) {
    self.dict()->Set(interpreter.heap().Untrusted(name), value);
  }
  return Value(None{});
}

Result CopyDict(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("copy", arguments, {}).status());
  Dict* const copy = interpreter.heap().NewDict();
  interpreter.budget().Charge(std::ssize(self.dict()->entries()));
  for (const Dict::Entry& entry : self.dict()->entries()) copy->Set(entry.key, entry.value);
  return Value(copy);
}

Result ClearDict(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("clear", arguments, {}).status());
  self.dict()->Clear();
  return Value(None{});
}

struct Row {
  std::string_view name;
  Method method;
};

constexpr Row kListMethods[] = {
    {"append", &Append}, {"clear", &ClearList}, {"copy", &CopyList},
    {"count", &Count},   {"extend", &Extend},   {"index", &Index},
    {"insert", &Insert}, {"pop", &PopItem},     {"reverse", &ReverseInPlace},
};

constexpr Row kDictMethods[] = {
    {"clear", &ClearDict},          {"copy", &CopyDict},          {"get", &Get},
    {"items", &View<Part::kItems>}, {"keys", &View<Part::kKeys>}, {"pop", &PopKey},
    {"setdefault", &SetDefault},    {"update", &Update},          {"values", &View<Part::kValues>},
};

}  // namespace

Method ListMethod(std::string_view name) {
  for (const Row& row : kListMethods) {
    if (row.name == name) return row.method;
  }
  return nullptr;
}

Method DictMethod(std::string_view name) {
  for (const Row& row : kDictMethods) {
    if (row.name == name) return row.method;
  }
  return nullptr;
}

Method MethodOf(const Value& value, std::string_view name) {
  if (value.string() != nullptr) return StringMethod(name);
  if (value.dict() != nullptr) return DictMethod(name);
  const Sequence* const sequence = value.sequence();
  if (sequence == nullptr) return nullptr;
  if (sequence->flavor == Sequence::Flavor::kList) return ListMethod(name);
  const bool tuple = sequence->flavor == Sequence::Flavor::kTuple;
  return tuple && (name == "index" || name == "count") ? ListMethod(name) : nullptr;
}

}  // namespace spillway::jinja
