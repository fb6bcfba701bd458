#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_strings.h"

// The methods of lists and dicts. Those that would change one are named only to be refused, as the
// sandbox does that transformers runs templates in.

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result Index(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::BindPositional("index", arguments,
                                                                    {"value", "start", "stop"}, 1));
  const auto& items = self.sequence()->items;
  if (self.sequence()->flavor == Sequence::Flavor::kRange && arguments.positional.size() > 1) {
    return absl::InvalidArgumentError("range.index() takes exactly one argument");
  }
  ASSIGN_OR_RETURN(const int64_t start, bound.GetInteger(1, 0));
  ASSIGN_OR_RETURN(const int64_t stop, bound.GetInteger(2, std::ssize(items)));
  const SliceRange range = ResolveSlice(start, stop, 1, std::ssize(items));
  for (int64_t i = range.first; i < range.first + range.count; ++i) {
    if (Equals(items[i], bound[0], interpreter.budget())) return Value::Int(i);
  }
  return absl::InvalidArgumentError("the value is not in the list");
}

Result Count(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("count", arguments, {"value"}, 1));
  const auto& items = self.sequence()->items;
  return Value::Int(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return Equals(item, bound[0], interpreter.budget());
  }));
}

Result CopyList(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("copy", arguments, {}).status());
  return interpreter.heap().NewList(self.sequence()->items);
}

enum class Part { kKeys, kValues, kItems };

template <Part kPart>
Result View(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("items", arguments, {}).status());
  Heap& heap = interpreter.heap();
  std::vector<Value> items;
  for (const Dict::Entry& entry : self.dict()->entries()) {
    if (kPart == Part::kItems) {
      items.push_back(heap.NewSequence(Sequence::Flavor::kTuple, {entry.key, entry.value}));
    } else {
      items.push_back(kPart == Part::kKeys ? entry.key : entry.value);
    }
  }
  constexpr auto kFlavor = kPart == Part::kKeys     ? Sequence::Flavor::kKeys
                           : kPart == Part::kValues ? Sequence::Flavor::kValues
                                                    : Sequence::Flavor::kItems;
  return heap.NewSequence(kFlavor, std::move(items));
}

Result Get(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("get", arguments, {"key", "default"}, 1));
  if (!IsHashable(bound[0])) return NotHashable(bound[0]);
  const Value* const found = self.dict()->Find(bound[0]);
  return found != nullptr ? *found : bound.Get(1, None{});
}

Result CopyDict(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("copy", arguments, {}).status());
  Dict* const copy = interpreter.heap().NewDict();
  interpreter.budget().Charge(std::ssize(self.dict()->entries()));
  for (const Dict::Entry& entry : self.dict()->entries()) copy->Set(entry.key, entry.value);
  return Value(copy);
}

// dict.fromkeys(), which knows nothing of the dict that it is called on.
Result FromKeys(Interpreter& interpreter, const Value& /*self*/, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("fromkeys", arguments, {"iterable", "value"}, 1));
  ASSIGN_OR_RETURN(const auto keys, Iterate(bound[0], interpreter.heap()));
  Dict* const dict = interpreter.heap().NewDict();
  for (const Value& key : keys) {
    if (!dict->Set(key, bound.Get(1, None{}))) return NotHashable(key);
  }
  return Value(dict);
}

struct Row {
  std::string_view name;
  Method method;
};

constexpr Row kListMethods[] = {
    {"copy", &CopyList},
    {"count", &Count},
    {"index", &Index},
};

constexpr Row kDictMethods[] = {
    {"copy", &CopyDict},
    {"fromkeys", &FromKeys},
    {"get", &Get},
    {"items", &View<Part::kItems>},
    {"keys", &View<Part::kKeys>},
    {"values", &View<Part::kValues>},
};

constexpr std::string_view kListChanges[] = {"append", "clear",  "extend",  "insert",
                                             "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kDictChanges[] = {"clear", "pop", "popitem", "setdefault", "update"};

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
  const bool may_search = sequence->is_tuple() || sequence->flavor == Sequence::Flavor::kRange;
  return may_search && (name == "index" || name == "count") ? ListMethod(name) : nullptr;
}

bool IsRefusedAttribute(const Value& value, std::string_view name) {
  const auto is_one_of = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (value.dict() != nullptr) return is_one_of(kDictChanges);
  const Sequence* const sequence = value.sequence();
  return sequence != nullptr && sequence->flavor == Sequence::Flavor::kList &&
         is_one_of(kListChanges);
}

}  // namespace spillway::jinja
