#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_string_format.h"
#include "worker/text/jinja_strings.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// A text argument that may be left out or none.
absl::StatusOr<const Text*> OptionalText(const BoundArguments& bound, size_t parameter) {
  if (!bound.has(parameter) || bound[parameter].is_none()) return nullptr;
  return bound.GetText(parameter);
}

template <Side kSide>
Result StripMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("strip", arguments, {"chars"}));
  ASSIGN_OR_RETURN(const Text* const characters, OptionalText(bound, 0));
  return interpreter.heap().NewString(Strip(*self.string(), characters, kSide));
}

template <bool kFromRight>
Result SplitMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("split", arguments, {"sep", "maxsplit"}));
  ASSIGN_OR_RETURN(const Text* const separator, OptionalText(bound, 0));
  ASSIGN_OR_RETURN(const int64_t splits_max, bound.GetInteger(1, -1));
  ASSIGN_OR_RETURN(const std::vector<Text> parts,
                   Split(*self.string(), separator, splits_max, kFromRight, interpreter.budget()));
  std::vector<Value> items;
  for (const Text& part : parts) items.push_back(interpreter.heap().NewString(part));
  return interpreter.heap().NewList(std::move(items));
}

Result SplitLinesMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("splitlines", arguments, {"keepends"}));
  std::vector<Value> items;
  for (const Text& line : SplitLines(*self.string(), bound.GetBool(0, false))) {
    items.push_back(interpreter.heap().NewString(line));
  }
  return interpreter.heap().NewList(std::move(items));
}

// partition() and rpartition().
template <bool kFromRight>
Result PartitionMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("partition", arguments, {"sep"}, 1));
  ASSIGN_OR_RETURN(const Text* const separator, bound.GetText(0));
  if (separator->size() == 0) return absl::InvalidArgumentError("empty separator");
  const Text& text = *self.string();
  const size_t at =
      kFromRight ? text.view().rfind(separator->view()) : text.view().find(separator->view());
  Text parts[3];
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

// startswith() and endswith(), of one string or any of a tuple.
template <bool kStart>
Result AffixMethod(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind(kStart ? "startswith" : "endswith",
                                                          arguments, {"prefix"}, 1));
  const auto matches = [&](std::string_view affix) {
    const std::string_view text = self.string()->view();
    return kStart ? text.starts_with(affix) : text.ends_with(affix);
  };
  if (const Sequence* choices = bound[0].sequence()) {
    return Value::Bool(std::any_of(
        choices->items.begin(), choices->items.end(),
        [&](const Value& v) { return v.string() != nullptr && matches(v.string()->view()); }));
  }
  ASSIGN_OR_RETURN(const Text* const affix, bound.GetText(0));
  return Value::Bool(matches(affix->view()));
}

// removeprefix() and removesuffix().
template <bool kStart>
Result RemoveAffixMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("removeprefix", arguments, {"prefix"}, 1));
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

template <Case kCase>
Result CaseMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("upper", arguments, {}).status());
  TextBuilder out(interpreter.heap());
  ChangeCase(*self.string(), kCase, interpreter.unicode(), out);
  return out.Finish();
}

Result ReplaceMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("replace", arguments, {"old", "new", "count"}, 2));
  ASSIGN_OR_RETURN(const Text* const from, bound.GetText(0));
  ASSIGN_OR_RETURN(const Text* const to, bound.GetText(1));
  ASSIGN_OR_RETURN(const int64_t count, bound.GetInteger(2, -1));
  TextBuilder out(interpreter.heap());
  RETURN_IF_ERROR(Replace(*self.string(), *from, *to, count, out));
  return out.Finish();
}

Result JoinMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("join", arguments, {"iterable"}, 1));
  ASSIGN_OR_RETURN(const auto items, Iterate(bound[0], interpreter.heap()));
  TextBuilder out(interpreter.heap());
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].string() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence item ", i, ": expected str, ", items[i].TypeName(), " found"));
    }
    if (i > 0) out.Append(*self.string());
    out.Append(*items[i].string());
    RETURN_IF_ERROR(out.Check());
  }
  return out.Finish();
}

// find(), rfind() and index(), in code points.
template <bool kFromRight, bool kMustFind>
Result FindTextMethod(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("find", arguments, {"sub", "start", "end"}, 1));
  ASSIGN_OR_RETURN(const Text* const sub, bound.GetText(0));
  const std::vector<size_t> offsets = CodePointOffsets(self.string()->view());
  const int64_t length = std::ssize(offsets) - 1;
  ASSIGN_OR_RETURN(const int64_t start, bound.GetInteger(1, 0));
  ASSIGN_OR_RETURN(const int64_t end, bound.GetInteger(2, length));
  const SliceRange range = ResolveSlice(start, end, 1, length);
  const size_t begin = offsets[range.first];
  const std::string_view text =
      self.string()->view().substr(begin, offsets[range.first + range.count] - begin);
  const size_t at = kFromRight ? text.rfind(sub->view()) : text.find(sub->view());
  if (at == std::string_view::npos) {
    if (kMustFind) return absl::InvalidArgumentError("substring not found");
    return Value::Int(-1);
  }
  return Value::Int(std::lower_bound(offsets.begin(), offsets.end(), begin + at) - offsets.begin());
}

Result CountTextMethod(Interpreter& /*interpreter*/, const Value& self,
                       const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("count", arguments, {"sub"}, 1));
  ASSIGN_OR_RETURN(const Text* const sub, bound.GetText(0));
  const std::string_view text = self.string()->view();
  if (sub->size() == 0) return Value::Int(std::ssize(CodePointOffsets(text)));
  int64_t count = 0;
  for (size_t at = text.find(sub->view()); at != std::string_view::npos;
       at = text.find(sub->view(), at + sub->size())) {
    ++count;
  }
  return Value::Int(count);
}

enum class Class { kDigit, kAlpha, kAlphanumeric, kSpace };

template <Class kClass>
Result ClassMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("isalpha", arguments, {}).status());
  std::string_view text = self.string()->view();
  bool all = !text.empty();
  const UnicodeClasses& unicode = interpreter.unicode();
  while (all && !text.empty()) {
    const Utf8Character first = FirstUtf8Character(text);
    const char32_t c = first.code_point;
    switch (kClass) {
      case Class::kDigit:
        all = unicode.IsDigit(c);
        break;
      case Class::kAlpha:
        all = unicode.IsAlpha(c);
        break;
      case Class::kAlphanumeric:
        all = unicode.IsAlpha(c) || unicode.IsDigit(c);
        break;
      case Class::kSpace:
        all = IsUnicodeSpace(c);
        break;
    }
    text.remove_prefix(static_cast<size_t>(first.size));
  }
  return Value::Bool(all);
}

// isupper() and islower(): some letter has a case, and none the other.
template <bool kUpper>
Result IsCaseMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("isupper", arguments, {}).status());
  bool some = false;
  for (std::string_view text = self.string()->view(); !text.empty();) {
    const Utf8Character first = FirstUtf8Character(text);
    const bool upper = interpreter.unicode().IsUpper(first.code_point);
    const bool lower = interpreter.unicode().IsLower(first.code_point);
    if (kUpper ? lower : upper) return Value::Bool(false);
    some |= kUpper ? upper : lower;
    text.remove_prefix(static_cast<size_t>(first.size));
  }
  return Value::Bool(some);
}

// ljust(), rjust(), center() and zfill().
template <Side kSide, bool kZeros>
Result PadMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("ljust", arguments, {"width", "fillchar"}, 1));
  ASSIGN_OR_RETURN(const int64_t width, bound.GetInteger(0, 0));
  const Text space = Text::Trusted(kZeros ? "0" : " ");
  const Text* fill = &space;
  if (bound.has(1)) {
    ASSIGN_OR_RETURN(fill, bound.GetText(1));
  }
  ASSIGN_OR_RETURN(const int64_t length, Length(self));
  const int64_t missing = std::max<int64_t>(width - length, 0);
  // center() puts the odd one on the left when the width is odd.
  const int64_t left = kSide == Side::kLeft    ? 0
                       : kSide == Side::kRight ? missing
                                               : missing / 2 + (missing & width & 1);
  const Text& text = *self.string();
  const bool sign = kZeros && (text.view().starts_with('-') || text.view().starts_with('+'));
  TextBuilder out(interpreter.heap());
  if (sign) out.Append(text, 0, 1);
  for (int64_t i = 0; i < left; ++i) {
    out.Append(*fill);
    RETURN_IF_ERROR(out.Check());
  }
  out.Append(text, sign ? 1 : 0, text.size());
  for (int64_t i = left; i < missing; ++i) {
    out.Append(*fill);
    RETURN_IF_ERROR(out.Check());
  }
  return out.Finish();
}

struct Row {
  std::string_view name;
  Method method;
};

constexpr Row kMethods[] = {
    {"capitalize", &CaseMethod<Case::kCapitalized>},
    {"center", &PadMethod<Side::kBoth, false>},
    {"count", &CountTextMethod},
    {"endswith", &AffixMethod<false>},
    {"find", &FindTextMethod<false, false>},
    {"format", &FormatBraces},
    {"index", &FindTextMethod<false, true>},
    {"isalnum", &ClassMethod<Class::kAlphanumeric>},
    {"isalpha", &ClassMethod<Class::kAlpha>},
    {"isdecimal", &ClassMethod<Class::kDigit>},
    {"isdigit", &ClassMethod<Class::kDigit>},
    {"islower", &IsCaseMethod<false>},
    {"isnumeric", &ClassMethod<Class::kDigit>},
    {"isspace", &ClassMethod<Class::kSpace>},
    {"isupper", &IsCaseMethod<true>},
    {"join", &JoinMethod},
    {"ljust", &PadMethod<Side::kLeft, false>},
    {"lower", &CaseMethod<Case::kLower>},
    {"lstrip", &StripMethod<Side::kLeft>},
    {"partition", &PartitionMethod<false>},
    {"removeprefix", &RemoveAffixMethod<true>},
    {"removesuffix", &RemoveAffixMethod<false>},
    {"replace", &ReplaceMethod},
    {"rfind", &FindTextMethod<true, false>},
    {"rindex", &FindTextMethod<true, true>},
    {"rjust", &PadMethod<Side::kRight, false>},
    {"rpartition", &PartitionMethod<true>},
    {"rsplit", &SplitMethod<true>},
    {"rstrip", &StripMethod<Side::kRight>},
    {"split", &SplitMethod<false>},
    {"splitlines", &SplitLinesMethod},
    {"startswith", &AffixMethod<true>},
    {"strip", &StripMethod<Side::kBoth>},
    {"swapcase", &CaseMethod<Case::kSwap>},
    {"title", &CaseMethod<Case::kTitle>},
    {"upper", &CaseMethod<Case::kUpper>},
    {"zfill", &PadMethod<Side::kRight, true>},
};

}  // namespace

Method StringMethod(std::string_view name) {
  for (const Row& row : kMethods) {
    if (row.name == name) return row.method;
  }
  return nullptr;
}

}  // namespace spillway::jinja
