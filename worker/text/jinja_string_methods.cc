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
#include "worker/text/unicode_classes.h"
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
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::BindPositional("strip", arguments, {"chars"}));
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
  ASSIGN_OR_RETURN(const std::vector<Text> lines,
                   SplitLines(*self.string(), bound.GetBool(0, false), interpreter.budget()));
  std::vector<Value> items;
  for (const Text& line : lines) items.push_back(interpreter.heap().NewString(line));
  return interpreter.heap().NewList(std::move(items));
}

template <Case kCase>
Result CaseMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("upper", arguments, {}).status());
  TextBuilder out(interpreter.heap());
  ChangeCase(*self.string(), kCase, out);
  return out.Finish();
}

Result ReplaceMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::BindPositional("replace", arguments,
                                                                    {"old", "new", "count"}, 2));
  ASSIGN_OR_RETURN(const Text* const from, bound.GetText(0));
  ASSIGN_OR_RETURN(const Text* const to, bound.GetText(1));
  ASSIGN_OR_RETURN(const int64_t count, bound.GetInteger(2, -1));
  TextBuilder out(interpreter.heap());
  TextBuilder replacement(interpreter.heap());
  self.string()->is_markup() ? EscapeHtml(*to, replacement) : replacement.Append(*to);
  RETURN_IF_ERROR(replacement.Check());
  RETURN_IF_ERROR(Replace(*self.string(), *from, replacement.text(), count, out));
  return out.Finish();
}

Result JoinMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("join", arguments, {"iterable"}, 1));
  ASSIGN_OR_RETURN(const auto items, Iterate(bound[0], interpreter.heap()));
  TextBuilder out(interpreter.heap());
  for (size_t i = 0; i < items.size(); ++i) {
    if (self.string()->is_markup()) {
      if (i > 0) out.Append(*self.string());
      ASSIGN_OR_RETURN(const Value item, interpreter.Str(items[i]));
      EscapeHtml(*item.string(), out);
      RETURN_IF_ERROR(out.Check());
      continue;
    }
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

// isalpha() and the like: all of at least one character. isascii() and isprintable(): or none.
template <bool (*kHolds)(char32_t), bool kOfNone>
Result ClassMethod(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("isalpha", arguments, {}).status());
  std::string_view text = self.string()->view();
  bool all = kOfNone || !text.empty();
  while (all && !text.empty()) {
    const Utf8Character first = FirstUtf8Character(text);
    all = kHolds(first.code_point);
    text.remove_prefix(static_cast<size_t>(first.size));
  }
  return Value::Bool(all);
}

bool IsAlphanumeric(char32_t c) {
  return unicode::IsAlpha(c) || unicode::IsDecimal(c) || unicode::IsDigit(c) ||
         unicode::IsNumeric(c);
}
bool IsAscii(char32_t c) { return c < 0x80; }

// isupper() and islower(): some letter has a case, and none the other.
template <bool kUpper>
Result IsCaseMethod(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("isupper", arguments, {}).status());
  bool some = false;
  for (std::string_view text = self.string()->view(); !text.empty();) {
    const Utf8Character first = FirstUtf8Character(text);
    const char32_t c = first.code_point;
    if (unicode::IsTitle(c) || (kUpper ? unicode::IsLower(c) : unicode::IsUpper(c))) {
      return Value::Bool(false);
    }
    some |= kUpper ? unicode::IsUpper(c) : unicode::IsLower(c);
    text.remove_prefix(static_cast<size_t>(first.size));
  }
  return Value::Bool(some);
}

Result IsTitleMethod(Interpreter& /*interpreter*/, const Value& self, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("istitle", arguments, {}).status());
  bool some = false;
  bool inside_word = false;
  for (std::string_view text = self.string()->view(); !text.empty();) {
    const Utf8Character first = FirstUtf8Character(text);
    const char32_t c = first.code_point;
    const bool capital = unicode::IsUpper(c) || unicode::IsTitle(c);
    if (capital ? inside_word : unicode::IsLower(c) && !inside_word) return Value::Bool(false);
    inside_word = capital || unicode::IsLower(c);
    some |= inside_word;
    text.remove_prefix(static_cast<size_t>(first.size));
  }
  return Value::Bool(some);
}

Result IsIdentifierMethod(Interpreter& /*interpreter*/, const Value& self,
                          const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::BindPositional("isidentifier", arguments, {}).status());
  const std::string_view text = self.string()->view();
  for (size_t at = 0; at < text.size();) {
    const Utf8Character c = FirstUtf8Character(text.substr(at));
    if (at == 0 ? !unicode::IsIdentifierStart(c.code_point)
                : !unicode::IsIdentifierPart(c.code_point)) {
      return Value::Bool(false);
    }
    at += static_cast<size_t>(c.size);
  }
  return Value::Bool(!text.empty());
}

Result ExpandTabsMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("expandtabs", arguments, {"tabsize"}));
  ASSIGN_OR_RETURN(const int64_t size, bound.GetInteger(0, 8));
  const Text& text = *self.string();
  TextBuilder out(interpreter.heap());
  int64_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at + SkipCodePoints(text.view().substr(at), 1);
    const char c = text.view()[at];
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      for (int64_t i = 0; i < spaces && out.Check().ok(); ++i) out.AppendUntrusted(" ");
      column += spaces;
    } else {
      out.Append(text, at, end);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
    RETURN_IF_ERROR(out.Check());
    at = end;
  }
  return out.Finish();
}

// translate(): each character is looked up by its number; none drops it.
Result TranslateMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("translate", arguments, {"table"}, 1));
  const Dict* const table = bound[0].dict();
  if (table == nullptr) return absl::InvalidArgumentError("translate() needs a dict");
  const Text& text = *self.string();
  interpreter.budget().Charge(static_cast<int64_t>(text.size() / 64));
  TextBuilder out(interpreter.heap());
  for (size_t at = 0; at < text.size();) {
    const Utf8Character c = FirstUtf8Character(text.view().substr(at));
    const size_t end = at + static_cast<size_t>(c.size);
    const Value* const found = table->Find(Value::Int(c.code_point));
    if (found == nullptr) {
      out.Append(text, at, end);
    } else if (found->string() != nullptr) {
      out.Append(*found->string());
    } else if (const auto code_point = found->AsInteger()) {
      if (*code_point < 0 || *code_point > 0x10FFFF) {
        return absl::InvalidArgumentError("translate(): a number is no character's");
      }
      std::string character;
      AppendUtf8(static_cast<char32_t>(*code_point), character);
      out.AppendUntrusted(character);
    } else if (!found->is_none()) {
      return absl::InvalidArgumentError("translate(): a value is no string, number or none");
    }
    RETURN_IF_ERROR(out.Check());
    at = end;
  }
  return out.Finish();
}

// ljust(), rjust(), center() and zfill().
template <Side kSide, bool kZeros>
Result PadMethod(Interpreter& interpreter, const Value& self, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::BindPositional("ljust", arguments, {"width", "fillchar"}, 1));
  ASSIGN_OR_RETURN(const int64_t width, bound.GetInteger(0, 0));
  const Text space = Text::Trusted(kZeros ? "0" : " ");
  const Text* fill = &space;
  if (bound.has(1)) {
    ASSIGN_OR_RETURN(fill, bound.GetText(1));
    if (CountCodePoints(fill->view()) != 1) {
      return absl::InvalidArgumentError("the fill character must be one character");
    }
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
    {"casefold", &CaseMethod<Case::kFolded>},
    {"center", &PadMethod<Side::kBoth, false>},
    {"expandtabs", &ExpandTabsMethod},
    {"format", &FormatBraces},
    {"format_map", &FormatBracesOfMap},
    {"isalnum", &ClassMethod<&IsAlphanumeric, false>},
    {"isalpha", &ClassMethod<&unicode::IsAlpha, false>},
    {"isascii", &ClassMethod<&IsAscii, true>},
    {"isdecimal", &ClassMethod<&unicode::IsDecimal, false>},
    {"isdigit", &ClassMethod<&unicode::IsDigit, false>},
    {"isidentifier", &IsIdentifierMethod},
    {"islower", &IsCaseMethod<false>},
    {"isnumeric", &ClassMethod<&unicode::IsNumeric, false>},
    {"isprintable", &ClassMethod<&unicode::IsPrintable, true>},
    {"isspace", &ClassMethod<&IsUnicodeSpace, false>},
    {"istitle", &IsTitleMethod},
    {"isupper", &IsCaseMethod<true>},
    {"join", &JoinMethod},
    {"ljust", &PadMethod<Side::kLeft, false>},
    {"lower", &CaseMethod<Case::kLower>},
    {"lstrip", &StripMethod<Side::kLeft>},
    {"replace", &ReplaceMethod},
    {"rjust", &PadMethod<Side::kRight, false>},
    {"rsplit", &SplitMethod<true>},
    {"rstrip", &StripMethod<Side::kRight>},
    {"split", &SplitMethod<false>},
    {"splitlines", &SplitLinesMethod},
    {"strip", &StripMethod<Side::kBoth>},
    {"swapcase", &CaseMethod<Case::kSwap>},
    {"title", &CaseMethod<Case::kTitle>},
    {"translate", &TranslateMethod},
    {"upper", &CaseMethod<Case::kUpper>},
    {"zfill", &PadMethod<Side::kRight, true>},
};

}  // namespace

Method StringMethod(std::string_view name) {
  for (const Row& row : kMethods) {
    if (row.name == name) return row.method;
  }
  return StringSearchMethod(name);
}

}  // namespace spillway::jinja
