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
  ChangeCase(text, kCase, interpreter.unicode(), out);
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

Result Escape(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("escape", arguments, {}).status());
  AS_TEXT(text, input, holder);
  TextBuilder out(interpreter.heap());
  EscapeHtml(text, out);
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
  AS_TEXT(text, input, holder);
  TextBuilder indentation(interpreter.heap());
  if (bound.has(0) && bound[0].string() != nullptr) {
    indentation.Append(*bound[0].string());
  } else {
    ASSIGN_OR_RETURN(const int64_t width, bound.GetInteger(0, 4));
    for (int64_t i = 0; i < width && indentation.Check().ok(); ++i) indentation.AppendTrusted(" ");
  }
  RETURN_IF_ERROR(indentation.Check());
  const bool blank = bound.GetBool(2, false);
  std::vector<Text> lines = SplitLines(text, /*keep_ends=*/false);
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
  return out.Finish();
}

// An argument of json.dumps that is a text or none.
absl::StatusOr<std::optional<std::string>> Separator(const Value& value) {
  if (value.string() == nullptr) return absl::InvalidArgumentError("tojson(): bad separators");
  return std::string(value.string()->view());
}

Result ToJson(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound,
                   BoundArguments::Bind("tojson", arguments,
                                        {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound.GetBool(0, false);
  style.sort_keys = bound.GetBool(3, false);
  if (bound.has(1) && bound[1].string() != nullptr) {
    style.indent = std::string(bound[1].string()->view());
  } else if (bound.has(1) && !bound[1].is_none()) {
    ASSIGN_OR_RETURN(const int64_t width, bound.GetInteger(1, 0));
    constexpr int64_t kIndentMax = 100;
    if (width > kIndentMax) return absl::InvalidArgumentError("tojson(): indent is over 100");
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (bound.has(2) && !bound[2].is_none()) {
    const Sequence* const pair = bound[2].sequence();
    if (pair == nullptr || pair->items.size() != 2) {
      return absl::InvalidArgumentError("tojson(): separators must be two texts");
    }
    ASSIGN_OR_RETURN(style.item_separator, Separator(pair->items[0]));
    ASSIGN_OR_RETURN(style.key_separator, Separator(pair->items[1]));
  }
  TextBuilder out(interpreter.heap());
  RETURN_IF_ERROR(AppendJson(input, style, out));
  return out.Finish();
}

#undef AS_TEXT

constexpr FilterEntry kFilters[] = {
    {"capitalize", &ChangeCaseFilter<Case::kCapitalized>},
    {"center", &Center},
    {"e", &Escape},
    {"escape", &Escape},
    {"forceescape", &Escape},
    {"format", &FormatPercent},
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
