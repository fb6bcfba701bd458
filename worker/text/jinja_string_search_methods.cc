#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_strings.h"

// The methods of strings that look for another string.

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// partition() and rpartition().
template <bool kFromRight>
Result PartitionMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("partition", arguments, {"sep"}, 1));
  ASSIGN_OR_RETURN(const Text* const separator, bound.GetText(0));
  if (separator->size() == 0) return absl::InvalidArgumentError("empty separator");
  const Text& text = *self.string();
  const size_t at = kFromRight ? FindLastText(text.view(), separator->view())
                               : FindText(text.view(), separator->view());
  const Text nothing = text.Substring(0, 0);
  Text parts[] = {nothing, nothing, nothing};
  if (at == std::string_view::npos) {
    parts[kFromRight ? 2 : 0] = text;
  } else {
    parts[0] = text.Substring(0, at);
    parts[1] = text.Substring(at, at + separator->size());
    parts[2] = text.Substring(at + separator->size(), text.size());
  }
  std::vector<Value> items;
  for (const Text& part : parts) items.push_back(interpreter.heap().NewString(part));
  return interpreter.heap().NewSequence(Sequence::Flavor::kTuple, std::move(items));
}

// The part of `text` that optional code point indices begin and end choose; nothing where begin
// lies beyond the end.
absl::StatusOr<std::optional<TextRange>> RangeOf(std::string_view text, const BoundArguments& bound,
                                                 size_t begin_parameter) {
  const auto index = [&](size_t parameter) -> absl::StatusOr<std::optional<int64_t>> {
    if (!bound.has(parameter) || bound[parameter].is_none()) return std::optional<int64_t>();
    ASSIGN_OR_RETURN(const int64_t value, bound.GetInteger(parameter, 0));
    return std::optional<int64_t>(value);
  };
  ASSIGN_OR_RETURN(const std::optional<int64_t> begin, index(begin_parameter));
  ASSIGN_OR_RETURN(const std::optional<int64_t> end, index(begin_parameter + 1));
  if (!begin && !end) return std::optional<TextRange>(TextRange{0, text.size()});
  const int64_t length = CountCodePoints(text);
  if (begin.value_or(0) > length) return std::optional<TextRange>();
  const SliceRange range = ResolveSlice(begin, end, 1, length);
  if (range.last < range.first) return std::optional<TextRange>();
  const size_t first = SkipCodePoints(text, range.first);
  return std::optional<TextRange>(
      TextRange{first, first + SkipCodePoints(text.substr(first), range.count)});
}

// startswith() and endswith(), of one string or any of a tuple.
template <bool kStart>
Result AffixMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional(kStart ? "startswith" : "endswith", arguments,
                                                  {"prefix", "start", "end"}, 1));
  const std::string_view all = self.string()->view();
  ASSIGN_OR_RETURN(const std::optional<TextRange> range, RangeOf(all, bound, 1));
  const Sequence* const choices = bound[0].sequence();
  if (choices != nullptr && choices->is_tuple()) {
    for (const Value& choice : choices->items) {
      if (choice.string() == nullptr) {
        return absl::InvalidArgumentError("a tuple of affixes must hold strings only");
      }
      interpreter.budget().ChargeText(choice);
      if (!range.has_value()) continue;
      const std::string_view text = all.substr(range->begin, range->end - range->begin);
      const std::string_view affix = choice.string()->view();
      if (kStart ? text.starts_with(affix) : text.ends_with(affix)) return Value::Bool(true);
    }
    return Value::Bool(false);
  }
  ASSIGN_OR_RETURN(const Text* const affix, bound.GetText(0));
  if (!range.has_value()) return Value::Bool(false);
  const std::string_view text = all.substr(range->begin, range->end - range->begin);
  return Value::Bool(kStart ? text.starts_with(affix->view()) : text.ends_with(affix->view()));
}

// removeprefix() and removesuffix().
template <bool kStart>
Result RemoveAffixMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("removeprefix", arguments, {"prefix"}, 1));
  ASSIGN_OR_RETURN(const Text* const affix, bound.GetText(0));
  const Text& text = *self.string();
  if (kStart && text.view().starts_with(affix->view())) {
    return interpreter.heap().NewString(text.Substring(affix->size(), text.size()));
  }
  if (!kStart && text.view().ends_with(affix->view())) {
    return interpreter.heap().NewString(text.Substring(0, text.size() - affix->size()));
  }
  return self;
}

// find(), rfind(), index() and rindex(), in code points.
template <bool kFromRight, bool kMustFind>
Result FindTextMethod(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("find", arguments, {"sub", "start", "end"}, 1));
  ASSIGN_OR_RETURN(const Text* const sub, bound.GetText(0));
  const std::string_view all = self.string()->view();
  ASSIGN_OR_RETURN(const std::optional<TextRange> range, RangeOf(all, bound, 1));
  size_t at = std::string_view::npos;
  if (range.has_value()) {
    const std::string_view text = all.substr(range->begin, range->end - range->begin);
    at = kFromRight ? FindLastText(text, sub->view()) : FindText(text, sub->view());
  }
  if (at == std::string_view::npos) {
    if (kMustFind) return absl::InvalidArgumentError("substring not found");
    return Value::Int(-1);
  }
  return Value::Int(CountCodePoints(all.substr(0, range->begin + at)));
}

Result CountTextMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("count", arguments, {"sub", "start", "end"}, 1));
  ASSIGN_OR_RETURN(const Text* const sub, bound.GetText(0));
  const std::string_view all = self.string()->view();
  ASSIGN_OR_RETURN(const std::optional<TextRange> range, RangeOf(all, bound, 1));
  if (!range.has_value()) return Value::Int(0);
  const std::string_view text = all.substr(range->begin, range->end - range->begin);
  if (sub->size() == 0) return Value::Int(CountCodePoints(text) + 1);
  interpreter.budget().ChargeBytes(text.size());
  int64_t count = 0;
  for (size_t at = FindText(text, sub->view()); at != std::string_view::npos;
       at = FindText(text, sub->view(), at + sub->size())) {
    ++count;
  }
  return Value::Int(count);
}

struct Row {
  std::string_view name;
  Method method;
};

constexpr Row kMethods[] = {
    {"count", &CountTextMethod},
    {"endswith", &AffixMethod<false>},
    {"find", &FindTextMethod<false, false>},
    {"index", &FindTextMethod<false, true>},
    {"partition", &PartitionMethod<false>},
    {"removeprefix", &RemoveAffixMethod<true>},
    {"removesuffix", &RemoveAffixMethod<false>},
    {"rfind", &FindTextMethod<true, false>},
    {"rindex", &FindTextMethod<true, true>},
    {"rpartition", &PartitionMethod<true>},
    {"startswith", &AffixMethod<true>},
};

}  // namespace

Method StringSearchMethod(std::string_view name) {
  for (const Row& row : kMethods) {
    if (row.name == name) return row.method;
  }
  return nullptr;
}

}  // namespace spillway::jinja
