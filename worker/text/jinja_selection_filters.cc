#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_access.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_attribute_path.h"
#include "worker/text/jinja_filter_groups.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_tests.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// The arguments behind the first `count` positional ones.
Arguments Behind(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<ptrdiff_t>(count));
  return rest;
}

// These filters take whatever is false for an empty list.
absl::StatusOr<std::vector<Value>> ItemsOf(Interpreter& interpreter, const Value& input) {
  if (!input.IsTrue()) return std::vector<Value>();
  return Iterate(input, interpreter.heap());
}

absl::StatusOr<std::string> NameAt(const Arguments& arguments, size_t index) {
  const Text* const name = arguments.positional[index].string();
  if (name == nullptr)
    return absl::InvalidArgumentError("the filter's or test's name is no string");
  return std::string(name->view());
}

Result MapAttribute(Interpreter& interpreter, const std::vector<Value>& items,
                    const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("map", arguments, {"attribute", "default"}, 1));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(interpreter, bound[0]));
  std::vector<Value> mapped;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value value,
                     path.Follow(interpreter, item, bound.has(1) ? &bound[1] : nullptr));
    mapped.push_back(std::move(value));
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(mapped));
}

Result Map(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto items, ItemsOf(interpreter, input));
  // Jinja looks for the filter when the first item comes.
  if (items.empty()) return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, {});
  if (arguments.positional.empty()) return MapAttribute(interpreter, items, arguments);
  ASSIGN_OR_RETURN(const std::string name, NameAt(arguments, 0));
  const FilterEntry* const filter = FindFilter(name);
  if (filter == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("no filter named '", name, "'"));
  }
  const Arguments rest = Behind(arguments, 1);
  std::vector<Value> mapped;
  for (const Value& item : items) {
    interpreter.budget().Charge(1);
    interpreter.budget().ChargeText(item);
    RETURN_IF_ERROR(interpreter.budget().Check());
    ASSIGN_OR_RETURN(Value value, filter->apply(interpreter, item, rest));
    mapped.push_back(std::move(value));
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(mapped));
}

// select, reject, and with kAttribute selectattr and rejectattr.
template <bool kKeep, bool kAttribute>
Result Select(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto items, ItemsOf(interpreter, input));
  if (items.empty()) return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, {});
  constexpr size_t kTestAt = kAttribute ? 1 : 0;
  if (arguments.positional.size() < kTestAt) {
    return absl::InvalidArgumentError("selectattr() needs the name of an attribute");
  }
  ASSIGN_OR_RETURN(
      const AttributePath path,
      AttributePath::Parse(interpreter, kAttribute ? arguments.positional[0] : Value(None{})));
  const TestEntry* test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > kTestAt) {
    ASSIGN_OR_RETURN(const std::string name, NameAt(arguments, kTestAt));
    test = FindTest(name);
    if (test == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("no test named '", name, "'"));
    }
    rest = Behind(arguments, kTestAt + 1);
  }
  std::vector<Value> kept;
  for (const Value& item : items) {
    interpreter.budget().Charge(1);
    RETURN_IF_ERROR(interpreter.budget().Check());
    ASSIGN_OR_RETURN(const Value value, path.Follow(interpreter, item));
    interpreter.budget().ChargeText(value);
    bool holds = value.IsTrue();
    if (test != nullptr) {
      ASSIGN_OR_RETURN(holds, test->apply(interpreter, value, rest));
    }
    if (holds == kKeep) kept.push_back(item);
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(kept));
}

Result Attribute(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("attr", arguments, {"name"}, 1));
  ASSIGN_OR_RETURN(const Text* const name, bound.GetText(0));
  if (input.is_undefined()) return UndefinedError(input);
  if (input.object() != nullptr) return input.object()->Attribute(interpreter, name->view());
  return FindMethod(interpreter, input, name->view());
}

constexpr FilterEntry kFilters[] = {
    {"attr", &Attribute},
    {"map", &Map},
    {"reject", &Select<false, false>},
    {"rejectattr", &Select<false, true>},
    {"select", &Select<true, false>},
    {"selectattr", &Select<true, true>},
};

}  // namespace

std::span<const FilterEntry> SelectionFilters() { return kFilters; }

}  // namespace spillway::jinja
