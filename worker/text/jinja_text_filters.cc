#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_filter_groups.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_methods.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_string_format.h"
#include "worker/text/jinja_strings.h"

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// `text` is what a value becomes as text; it is held by `holder`.
#define AS_TEXT(text, value, holder)                            \
  ASSIGN_OR_RETURN(const Value holder, interpreter.Str(value)); \
  const Text& text = *holder.string()

template <Case kCase>
Result ChangeCaseFilter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("upper", arguments, {}).status());
  AS_TEXT(text, input, holder);
  TextBuilder out(interpreter.heap());
  ChangeCase(text, kCase, out);
  if (text.is_markup() && kCase != Case::kJinjaTitle) out.SetMarkup();
  return out.Finish();
}

Result Trim(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Value text, interpreter.Str(input));
  return StringMethod("strip")(interpreter, text, arguments);
}

Result Center(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("center", arguments, {"width"}));
  ASSIGN_OR_RETURN(const Value text, interpreter.Str(input));
  return StringMethod("center")(interpreter, text, {{bound.Get(0, Value::Int(80))}, {}});
}

Result ReplaceFilter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("replace", arguments, {"old", "new", "count"}, 2));
  AS_TEXT(text, input, holder);
  AS_TEXT(from, bound[0], from_holder);
  AS_TEXT(to, bound[1], to_holder);
  int64_t count = -1;
  if (bound.has(2) && !bound[2].is_none()) {
    ASSIGN_OR_RETURN(count, bound.GetInteger(2, -1));
  }
  TextBuilder out(interpreter.heap());
  RETURN_IF_ERROR(Replace(text, from, to, count, out));
  return out.Finish();
}

Result StringFilter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("string", arguments, {}).status());
  return interpreter.Str(input);
}

// escape, and forceescape, which does so again.
template <bool kForce>
Result Escape(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("escape", arguments, {}).status());
  AS_TEXT(text, input, holder);
  TextBuilder out(interpreter.heap());
  TextBuilder plain(interpreter.heap());
  plain.Append(text);
  EscapeHtml(kForce ? plain.text() : text, out);
  out.SetMarkup();
  return out.Finish();
}

Result Safe(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("safe", arguments, {}).status());
  AS_TEXT(text, input, holder);
  Text safe = text;
  safe.set_markup();
  return interpreter.heap().NewString(std::move(safe));
}

Result Indent(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("indent", arguments, {"width", "first", "blank"}));
  if (input.is_undefined()) return UndefinedError(input);
  if (input.string() == nullptr) return absl::InvalidArgumentError("indent() needs a string");
  const Text& text = *input.string();
  TextBuilder indentation(interpreter.heap());
  if (bound.has(0) && bound[0].string() != nullptr) {
    indentation.Append(*bound[0].string());
  } else {
    ASSIGN_OR_RETURN(const int64_t width, bound.GetInteger(0, 4));
    for (int64_t i = 0; i < width && indentation.Check().ok(); ++i) indentation.AppendTrusted(" ");
  }
  RETURN_IF_ERROR(indentation.Check());
  const bool blank = bound.GetBool(2, false);
  ASSIGN_OR_RETURN(std::vector<Text> lines,
                   SplitLines(text, /*keep_ends=*/false, interpreter.budget()));
  // Jinja appends a newline first, so that a text that ends with one ends with an empty line.
  if (text.size() == 0 || text.view().ends_with('\n') || text.view().ends_with('\r')) {
    lines.emplace_back();
  }
  TextBuilder out(interpreter.heap());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.AppendUntrusted("\n");
    const bool indents = i == 0 ? bound.GetBool(1, false) : blank || lines[i].size() > 0;
    if (indents) out.Append(indentation.text());
    out.Append(lines[i]);
    RETURN_IF_ERROR(out.Check());
  }
  if (text.is_markup()) out.SetMarkup();
  return out.Finish();
}

// An argument of json.dumps that is a text or none.
// The two separators of json.dumps, from a pair of strings or a string of two characters.
absl::Status ReadSeparators(Interpreter& interpreter, const Value& value, JsonStyle& style) {
  ASSIGN_OR_RETURN(const auto pair, Iterate(value, interpreter.heap()));
  if (pair.size() != 2 || pair[0].string() == nullptr || pair[1].string() == nullptr) {
    return absl::InvalidArgumentError("tojson(): separators must be two strings");
  }
  style.item_separator = std::string(pair[0].string()->view());
  style.key_separator = std::string(pair[1].string()->view());
  return absl::OkStatus();
}

Result ToJson(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("tojson", arguments,
                                        {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound.GetBool(0, false);
  style.sort_keys = bound.GetBool(3, false);
  if (bound.has(2) && !bound[2].is_none()) {
    RETURN_IF_ERROR(ReadSeparators(interpreter, bound[2], style));
  }
  if (bound.has(1) && bound[1].string() != nullptr) {
    style.indent = std::string(bound[1].string()->view());
  } else if (bound.has(1) && !bound[1].is_none() && input.string() == nullptr) {
    ASSIGN_OR_RETURN(const int64_t width, bound.GetInteger(1, 0));
    constexpr int64_t kIndentMax = 1000;
    if (width > kIndentMax) return absl::InvalidArgumentError("tojson(): indent is over 1000");
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  TextBuilder out(interpreter.heap());
  RETURN_IF_ERROR(AppendJson(input, style, interpreter.budget(), out));
  return out.Finish();
}

// {{ 'text %s'|format(…) }}.
Result Format(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return absl::InvalidArgumentError("format() takes arguments by position or by name, not both");
  }
  AS_TEXT(text, input, holder);
  Heap& heap = interpreter.heap();
  if (arguments.named.empty()) {
    return FormatPercent(interpreter, text,
                         heap.NewSequence(Sequence::Flavor::kTuple, arguments.positional));
  }
  Dict* const named = heap.NewDict();
  for (const auto& [name, value] : arguments.named) named->Set(heap.Untrusted(name), value);
  return FormatPercent(interpreter, text, named);
}

#undef AS_TEXT

constexpr FilterEntry kFilters[] = {
    {"capitalize", &ChangeCaseFilter<Case::kCapitalized>},
    {"center", &Center},
    {"e", &Escape<false>},
    {"escape", &Escape<false>},
    {"forceescape", &Escape<true>},
    {"format", &Format},
    {"indent", &Indent},
    {"lower", &ChangeCaseFilter<Case::kLower>},
    {"replace", &ReplaceFilter},
    {"safe", &Safe},
    {"string", &StringFilter},
    {"title", &ChangeCaseFilter<Case::kJinjaTitle>},
    {"tojson", &ToJson},
    {"trim", &Trim},
    {"upper", &ChangeCaseFilter<Case::kUpper>},
};

}  // namespace

std::span<const FilterEntry> TextFilters() { return kFilters; }

}  // namespace spillway::jinja
