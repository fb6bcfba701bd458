#include <algorithm>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_attribute_path.h"
#include "worker/text/jinja_filter_groups.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_sort.h"
#include "worker/text/jinja_strings.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

absl::StatusOr<std::vector<Value>> SortKeys(Interpreter& interpreter, const AttributePath& path,
                                            const std::vector<Value>& items, bool case_sensitive) {
  std::vector<Value> keys;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value key, SortKey(interpreter, path, item, case_sensitive));
    keys.push_back(std::move(key));
    RETURN_IF_ERROR(interpreter.budget().Check());
  }
  return keys;
}

std::vector<Value> InOrder(const std::vector<Value>& items, const std::vector<size_t>& order) {
  std::vector<Value> sorted;
  for (const size_t index : order) sorted.push_back(items[index]);
  return sorted;
}

Result LengthFilter(Interpreter& /*interpreter*/, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("length", arguments, {}).status());
  ASSIGN_OR_RETURN(const int64_t length, Length(input));
  return Value::Int(length);
}

Result List(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("list", arguments, {}).status());
  ASSIGN_OR_RETURN(auto items, Iterate(input, interpreter.heap()));
  return interpreter.heap().NewList(std::move(items));
}

Result First(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("first", arguments, {}).status());
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  return items.empty() ? Value() : items.front();
}

Result Last(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("last", arguments, {}).status());
  RETURN_IF_ERROR(Length(input).status());  // A generator has no last item.
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  return items.empty() ? Value() : items.back();
}

Result Join(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("join", arguments, {"d", "attribute"}));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const AttributePath path,
                   AttributePath::Parse(interpreter, bound.Get(1, None{})));
  TextBuilder out(interpreter.heap());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0 && bound.has(0)) RETURN_IF_ERROR(AppendStr(bound[0], out));
    ASSIGN_OR_RETURN(const Value item, path.Follow(interpreter, items[i]));
    RETURN_IF_ERROR(AppendStr(item, out));
  }
  return out.Finish();
}

Result Reverse(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("reverse", arguments, {}).status());
  if (const Text* text = input.string()) {
    return SliceText(*text, std::nullopt, std::nullopt, -1, interpreter.heap());
  }
  const bool generator =
      input.sequence() != nullptr && input.sequence()->flavor == Sequence::Flavor::kGenerator;
  ASSIGN_OR_RETURN(auto items, Iterate(input, interpreter.heap()));
  std::reverse(items.begin(), items.end());
  // What Python can't read backwards Jinja makes a list of.
  return interpreter.heap().NewSequence(
      generator ? Sequence::Flavor::kList : Sequence::Flavor::kGenerator, std::move(items));
}

// The keys for `attribute`, which may name several with commas between them.
absl::StatusOr<std::vector<Value>> SortKeysOf(Interpreter& interpreter, const Value& attribute,
                                              const std::vector<Value>& items,
                                              bool case_sensitive) {
  Heap& heap = interpreter.heap();
  std::vector<Value> attributes = {attribute};
  if (const Text* text = attribute.string()) {
    const Text comma = Text::Trusted(",");
    ASSIGN_OR_RETURN(const auto parts, Split(*text, &comma, -1, false, interpreter.budget()));
    attributes.clear();
    for (const Text& part : parts) attributes.push_back(heap.NewString(part));
  }
  // Lists of what the attributes are, also of one: lists that are equal are never compared further.
  std::vector<std::vector<Value>> rows(items.size());
  for (const Value& name : attributes) {
    ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(interpreter, name));
    ASSIGN_OR_RETURN(auto keys, SortKeys(interpreter, path, items, case_sensitive));
    for (size_t i = 0; i < items.size(); ++i) rows[i].push_back(std::move(keys[i]));
  }
  std::vector<Value> lists;
  for (auto& row : rows) lists.push_back(heap.NewList(std::move(row)));
  return lists;
}

Result Sort(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const auto keys,
                   SortKeysOf(interpreter, bound.Get(2, None{}), items, bound.GetBool(1, false)));
  ASSIGN_OR_RETURN(const auto order,
                   SortedOrder(keys, bound.GetBool(0, false), interpreter.budget()));
  return interpreter.heap().NewList(InOrder(items, order));
}

Result Unique(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("unique", arguments, {"case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const AttributePath path,
                   AttributePath::Parse(interpreter, bound.Get(1, None{})));
  ASSIGN_OR_RETURN(const auto keys, SortKeys(interpreter, path, items, bound.GetBool(0, false)));
  Dict& seen = *interpreter.heap().NewDict();
  std::vector<Value> unique;
  for (size_t i = 0; i < items.size(); ++i) {
    if (seen.Find(keys[i]) != nullptr) continue;
    if (!seen.Set(keys[i], None{})) {
      return absl::InvalidArgumentError(
          absl::StrCat("unique(): '", keys[i].TypeName(), "' can't be compared"));
    }
    unique.push_back(items[i]);
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(unique));
}

template <bool kMax>
Result Extreme(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind(kMax ? "max" : "min", arguments,
                                                          {"case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const AttributePath path,
                   AttributePath::Parse(interpreter, bound.Get(1, None{})));
  ASSIGN_OR_RETURN(const auto keys, SortKeys(interpreter, path, items, bound.GetBool(0, false)));
  if (items.empty()) return Value();
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(const bool better, kMax ? Less(keys[best], keys[i], interpreter.budget())
                                             : Less(keys[i], keys[best], interpreter.budget()));
    if (better) best = i;
  }
  return items[best];
}

Result Sum(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("sum", arguments, {"attribute", "start"}));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const AttributePath path,
                   AttributePath::Parse(interpreter, bound.Get(0, None{})));
  Value sum = bound.Get(1, Value::Int(0));
  if (sum.string() != nullptr) return absl::InvalidArgumentError("sum() can't sum strings");
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value value, path.Follow(interpreter, item));
    ASSIGN_OR_RETURN(sum, Compute(Operator::kAdd, sum, value, interpreter.heap()));
    RETURN_IF_ERROR(interpreter.budget().Check());
  }
  return sum;
}

Result Items(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("items", arguments, {}).status());
  std::vector<Value> items;
  if (const Dict* dict = input.dict()) {
    for (const Dict::Entry& entry : dict->entries()) {
      items.push_back(
          interpreter.heap().NewSequence(Sequence::Flavor::kTuple, {entry.key, entry.value}));
    }
  } else if (!input.is_undefined()) {
    return absl::InvalidArgumentError("can only get item pairs from a mapping");
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(items));
}

Result DictSort(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("dictsort", arguments,
                                                          {"case_sensitive", "by", "reverse"}));
  if (input.dict() == nullptr) return absl::InvalidArgumentError("dictsort() needs a dict");
  int64_t position = 0;
  if (bound.has(1)) {
    ASSIGN_OR_RETURN(const Text* const by, bound.GetText(1));
    if (by->view() != "key" && by->view() != "value") {
      return absl::InvalidArgumentError("dictsort(): by must be 'key' or 'value'");
    }
    position = by->view() == "value";
  }
  ASSIGN_OR_RETURN(const Value pairs, Items(interpreter, input, {}));
  ASSIGN_OR_RETURN(const AttributePath path,
                   AttributePath::Parse(interpreter, Value::Int(position)));
  const auto& items = pairs.sequence()->items;
  ASSIGN_OR_RETURN(const auto keys, SortKeys(interpreter, path, items, bound.GetBool(0, false)));
  ASSIGN_OR_RETURN(const auto order,
                   SortedOrder(keys, bound.GetBool(2, false), interpreter.budget()));
  return interpreter.heap().NewList(InOrder(items, order));
}

Result GroupBy(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1));
  Heap& heap = interpreter.heap();
  ASSIGN_OR_RETURN(const auto items, Iterate(input, heap));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(interpreter, bound[0]));
  std::vector<Value> names;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value name,
                     path.Follow(interpreter, item, bound.has(1) ? &bound[1] : nullptr));
    names.push_back(std::move(name));
  }
  ASSIGN_OR_RETURN(const AttributePath itself, AttributePath::Parse(interpreter, None{}));
  ASSIGN_OR_RETURN(const auto keys, SortKeys(interpreter, itself, names, bound.GetBool(2, false)));
  ASSIGN_OR_RETURN(const auto order, SortedOrder(keys, /*reverse=*/false, interpreter.budget()));
  std::vector<Value> groups;
  for (size_t i = 0; i < order.size();) {
    std::vector<Value> members;
    const size_t first = order[i];
    for (; i < order.size() && Equals(keys[order[i]], keys[first], interpreter.budget()); ++i) {
      members.push_back(items[order[i]]);
    }
    if (members.empty()) break;  // Nothing equals itself when the budget is exhausted.
    groups.push_back(heap.NewSequence(Sequence::Flavor::kGroup,
                                      {names[first], heap.NewList(std::move(members))}));
  }
  return heap.NewList(std::move(groups));
}

Result Batch(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("batch", arguments, {"linecount", "fill_with"}, 1));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const int64_t size, bound.GetInteger(0, 0));
  if (size < 1) return absl::InvalidArgumentError("batch(): the size must be positive");
  std::vector<Value> batches;
  for (size_t begin = 0; begin < items.size();) {
    const size_t end = begin + std::min(static_cast<size_t>(size), items.size() - begin);
    std::vector<Value> batch(items.begin() + static_cast<ptrdiff_t>(begin),
                             items.begin() + static_cast<ptrdiff_t>(end));
    while (bound.has(1) && !bound[1].is_none() && std::ssize(batch) < size) {
      interpreter.budget().Charge(1);
      RETURN_IF_ERROR(interpreter.budget().Check());
      batch.push_back(bound[1]);
    }
    batches.push_back(interpreter.heap().NewList(std::move(batch)));
    begin = end;
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(batches));
}

// slice(): so many lists of about the same length.
Result Slice(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("slice", arguments, {"slices", "fill_with"}, 1));
  ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
  ASSIGN_OR_RETURN(const int64_t slices, bound.GetInteger(0, 0));
  if (slices == 0) return absl::InvalidArgumentError("slice(): division by zero");
  const int64_t each = slices < 0 ? 0 : std::ssize(items) / slices;
  const int64_t longer = slices < 0 ? 0 : std::ssize(items) % slices;
  std::vector<Value> lists;
  auto begin = items.begin();
  for (int64_t i = 0; i < slices; ++i) {
    const auto end = begin + each + (i < longer ? 1 : 0);
    std::vector<Value> list(begin, end);
    if (i >= longer && bound.has(1) && !bound[1].is_none()) list.push_back(bound[1]);
    lists.push_back(interpreter.heap().NewList(std::move(list)));
    RETURN_IF_ERROR(interpreter.budget().Check());
    begin = end;
  }
  return interpreter.heap().NewSequence(Sequence::Flavor::kGenerator, std::move(lists));
}

Result Default(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("default", arguments, {"default_value", "boolean"}));
  const bool keeps = bound.GetBool(1, false) ? input.IsTrue() : !input.is_undefined();
  return keeps ? input : bound.Get(0, interpreter.heap().NewString(Text()));
}

constexpr FilterEntry kFilters[] = {
    {"batch", &Batch},       {"count", &LengthFilter},  {"d", &Default},
    {"default", &Default},   {"dictsort", &DictSort},   {"first", &First},
    {"groupby", &GroupBy},   {"items", &Items},         {"join", &Join},
    {"last", &Last},         {"length", &LengthFilter}, {"list", &List},
    {"max", &Extreme<true>}, {"min", &Extreme<false>},  {"reverse", &Reverse},
    {"slice", &Slice},       {"sort", &Sort},           {"sum", &Sum},
    {"unique", &Unique},
};

}  // namespace

std::span<const FilterEntry> SequenceFilters() { return kFilters; }

}  // namespace spillway::jinja
