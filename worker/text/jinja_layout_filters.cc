#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/text/jinja_arguments.h"
#include "worker/text/jinja_filter_groups.h"
#include "worker/text/jinja_format.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_operators.h"
#include "worker/text/jinja_sort.h"
#include "worker/text/jinja_strings.h"
#include "worker/text/jinja_word_wrap.h"
#include "worker/text/unicode_classes.h"
#include "worker/text/utf8.h"

// Filters that lay values out for people, or for HTML and addresses. Jinja's urlize and random are
// not among them.

namespace spillway::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result Truncate(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const auto bound,
      BoundArguments::Bind("truncate", arguments, {"length", "killwords", "end", "leeway"}));
  ASSIGN_OR_RETURN(const int64_t length, bound.GetInteger(0, 255));
  const Value end_value = bound.Get(2, interpreter.heap().NewString(Text::Trusted("...")));
  int64_t leeway = 5;
  if (bound.has(3) && !bound[3].is_none()) {
    ASSIGN_OR_RETURN(leeway, bound.GetInteger(3, 5));
  }
  ASSIGN_OR_RETURN(const int64_t end_length, Length(end_value));
  if (length < end_length || leeway < 0) {
    return absl::InvalidArgumentError("truncate(): the length must hold the end");
  }
  ASSIGN_OR_RETURN(const int64_t input_length, Length(input));
  if (input_length <= length + leeway) return input;
  if (input.string() == nullptr || end_value.string() == nullptr) {
    return absl::InvalidArgumentError("truncate() needs a string");
  }
  const Text& text = *input.string();
  Text kept = text.Substring(0, SkipCodePoints(text.view(), length - end_length));
  if (!bound.GetBool(1, false)) {
    const size_t space = kept.view().rfind(' ');
    if (space != std::string_view::npos) kept = kept.Substring(0, space);
  }
  if (text.is_markup()) kept.set_markup();
  return Compute(Operator::kAdd, interpreter.heap().NewString(std::move(kept)), end_value,
                 interpreter.heap());
}

Result WordWrapFilter(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("wordwrap", arguments,
                                                          {"width", "break_long_words",
                                                           "wrapstring", "break_on_hyphens"}));
  WordWrap style;
  ASSIGN_OR_RETURN(style.width, bound.GetInteger(0, 79));
  style.break_long_words = bound.GetBool(1, true);
  style.break_on_hyphens = bound.GetBool(3, true);
  const Text newline = Text::Trusted("\n");
  const Text* separator = &newline;
  if (bound.has(2) && !bound[2].is_none()) {
    ASSIGN_OR_RETURN(separator, bound.GetText(2));
  }
  if (input.is_undefined()) return UndefinedError(input);
  if (input.string() == nullptr) return absl::InvalidArgumentError("wordwrap() needs a string");
  ASSIGN_OR_RETURN(const auto lines, SplitLines(*input.string(), false, interpreter.budget()));
  TextBuilder out(interpreter.heap());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append(*separator);
    ASSIGN_OR_RETURN(const auto wrapped, WrapLine(lines[i], style, interpreter.budget()));
    for (size_t j = 0; j < wrapped.size(); ++j) {
      if (j > 0) out.Append(*separator);
      out.Append(wrapped[j]);
      RETURN_IF_ERROR(out.Check());
    }
  }
  return out.Finish();
}

// How many runs of \w there are.
Result WordCount(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("wordcount", arguments, {}).status());
  ASSIGN_OR_RETURN(const Value text, interpreter.Str(input));
  int64_t count = 0;
  bool inside = false;
  for (std::string_view rest = text.string()->view(); !rest.empty();) {
    const Utf8Character c = FirstUtf8Character(rest);
    const bool word = c.code_point == '_' || unicode::IsAlpha(c.code_point) ||
                      unicode::IsDecimal(c.code_point) || unicode::IsDigit(c.code_point) ||
                      unicode::IsNumeric(c.code_point);
    if (word && !inside) ++count;
    inside = word;
    rest.remove_prefix(static_cast<size_t>(c.size));
  }
  return Value::Int(count);
}

// Cuts out all from `open` to `close`, as often as both are there.
std::string WithoutParts(std::string_view text, std::string_view open, std::string_view close) {
  std::string out;
  while (true) {
    const size_t begin = text.find(open);
    const size_t end = begin == std::string_view::npos ? begin : text.find(close, begin);
    if (end == std::string_view::npos) break;
    out += text.substr(0, begin);
    text.remove_prefix(end + close.size());
  }
  return out + std::string(text);
}

// Character references as characters: numbers, and HTML's own five.
absl::StatusOr<std::string> Unescape(std::string_view text) {
  struct Entity {
    std::string_view name;
    std::string_view text;
  };
  constexpr Entity kEntities[] = {{"amp;", "&"},   {"lt;", "<"},   {"gt;", ">"},
                                  {"quot;", "\""}, {"apos;", "'"}, {"nbsp;", "\u00a0"}};
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t ampersand = std::min(text.find('&', at), text.size());
    out += text.substr(at, ampersand - at);
    if (ampersand == text.size()) break;
    at = ampersand + 1;
    const std::string_view rest = text.substr(at);
    const auto* const known =
        std::find_if(std::begin(kEntities), std::end(kEntities),
                     [rest](const Entity& entity) { return rest.starts_with(entity.name); });
    if (known != std::end(kEntities)) {
      out += known->text;
      at += known->name.size();
    } else if (rest.starts_with('#') ||
               (!rest.empty() && std::isalpha(static_cast<unsigned char>(rest[0])))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "striptags(): the reference &", std::string(rest.substr(0, 10)), " is not known here"));
    } else {
      out += '&';
    }
  }
  return out;
}

Result StripTags(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("striptags", arguments, {}).status());
  ASSIGN_OR_RETURN(const Value text, interpreter.Str(input));
  const Text plain =
      Text::Untrusted(WithoutParts(WithoutParts(text.string()->view(), "<!--", "-->"), "<", ">"));
  ASSIGN_OR_RETURN(const auto words, Split(plain, nullptr, -1, false, interpreter.budget()));
  std::string joined;
  for (const Text& word : words)
    absl::StrAppend(&joined, joined.empty() ? "" : " ", std::string(word.view()));
  ASSIGN_OR_RETURN(std::string unescaped, Unescape(joined));
  return interpreter.heap().Untrusted(std::move(unescaped));
}

// `space` stands for a space; slashes stay only in paths.
absl::StatusOr<std::string> Quoted(Interpreter& interpreter, const Value& value, bool in_query) {
  ASSIGN_OR_RETURN(const Value text, interpreter.Str(value));
  std::string out;
  for (const char c : text.string()->view()) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                       std::string_view("_.-~").find(c) != std::string_view::npos ||
                       (c == '/' && !in_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

Result UrlEncode(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("urlencode", arguments, {}).status());
  TextBuilder out(interpreter.heap());
  const bool iterable =
      input.is_undefined() || input.dict() != nullptr || input.sequence() != nullptr;
  if (!iterable) {
    ASSIGN_OR_RETURN(const std::string quoted, Quoted(interpreter, input, /*in_query=*/false));
    out.AppendUntrusted(quoted);
    return out.Finish();
  }
  std::vector<std::pair<Value, Value>> pairs;
  if (input.dict() != nullptr) {
    for (const Dict::Entry& entry : input.dict()->entries())
      pairs.emplace_back(entry.key, entry.value);
  } else {
    ASSIGN_OR_RETURN(const auto items, Iterate(input, interpreter.heap()));
    for (const Value& item : items) {
      ASSIGN_OR_RETURN(const auto pair, Iterate(item, interpreter.heap()));
      if (pair.size() != 2) return absl::InvalidArgumentError("urlencode() needs pairs");
      pairs.emplace_back(pair[0], pair[1]);
    }
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string key, Quoted(interpreter, pairs[i].first, true));
    ASSIGN_OR_RETURN(const std::string value, Quoted(interpreter, pairs[i].second, true));
    out.AppendUntrusted(absl::StrCat(i > 0 ? "&" : "", key, "=", value));
    RETURN_IF_ERROR(out.Check());
  }
  return out.Finish();
}

Result FileSizeFormat(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("filesizeformat", arguments, {"binary"}));
  if (input.is_undefined()) return UndefinedError(input);
  const FilterEntry* const as_float = FindFilter("float");
  ASSIGN_OR_RETURN(const Value converted,
                   as_float->apply(interpreter, input, {{Value(None{})}, {}}));
  if (converted.floating() == nullptr) {
    return absl::InvalidArgumentError("filesizeformat() needs a number");
  }
  const double bytes = *converted.floating();
  const bool binary = bound.GetBool(0, false);
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return interpreter.heap().Untrusted("1 Byte");
  if (bytes < base) {
    if (!std::isfinite(bytes) || std::abs(bytes) > 9e18) {
      return absl::InvalidArgumentError("filesizeformat(): not a size");
    }
    return interpreter.heap().Untrusted(absl::StrCat(static_cast<int64_t>(bytes), " Bytes"));
  }
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t prefix = 0;
  while (prefix < kPrefixes.size()) {
    unit *= base;
    if (bytes < unit || prefix + 1 == kPrefixes.size()) break;
    ++prefix;
  }
  const char letter = binary && prefix == 0 ? 'K' : kPrefixes[prefix];
  return interpreter.heap().Untrusted(
      absl::StrFormat("%.1f %c%s", base * bytes / unit, letter, binary ? "iB" : "B"));
}

Result XmlAttributes(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto bound, BoundArguments::Bind("xmlattr", arguments, {"autospace"}));
  if (input.is_undefined()) return UndefinedError(input);
  if (input.dict() == nullptr) return absl::InvalidArgumentError("xmlattr() needs a dict");
  TextBuilder out(interpreter.heap());
  bool first = true;
  for (const Dict::Entry& entry : input.dict()->entries()) {
    if (entry.value.is_none() || entry.value.is_undefined()) continue;
    if (entry.key.string() == nullptr ||
        entry.key.string()->view().find_first_of(" \t\n\r\f\v/>=") != std::string_view::npos) {
      return absl::InvalidArgumentError("xmlattr(): a key is no attribute's name");
    }
    if (!first || bound.GetBool(0, true)) out.AppendTrusted(" ");
    first = false;
    EscapeHtml(*entry.key.string(), out);
    out.AppendTrusted("=\"");
    ASSIGN_OR_RETURN(const Value value, interpreter.Str(entry.value));
    EscapeHtml(*value.string(), out);
    out.AppendTrusted("\"");
    RETURN_IF_ERROR(out.Check());
  }
  return out.Finish();
}

// A copy with the dicts' keys sorted, as pprint shows them.
Result WithSortedKeys(Interpreter& interpreter, const Value& value, int depth) {
  constexpr int kNestingMax = 100;
  if (depth > kNestingMax) return absl::InvalidArgumentError("pprint(): nested too deep");
  Heap& heap = interpreter.heap();
  if (const Dict* dict = value.dict()) {
    std::vector<Value> keys;
    for (const Dict::Entry& entry : dict->entries()) keys.push_back(entry.key);
    ASSIGN_OR_RETURN(const auto order, SortedOrder(keys, false, interpreter.budget()));
    Dict* const sorted = heap.NewDict();
    for (const size_t index : order) {
      ASSIGN_OR_RETURN(Value inner,
                       WithSortedKeys(interpreter, dict->entries()[index].value, depth + 1));
      sorted->Set(keys[index], std::move(inner));
    }
    return Value(sorted);
  }
  const Sequence* const sequence = value.sequence();
  if (sequence == nullptr ||
      (sequence->flavor != Sequence::Flavor::kList && !sequence->is_tuple())) {
    return value;
  }
  std::vector<Value> items;
  for (const Value& item : sequence->items) {
    ASSIGN_OR_RETURN(Value inner, WithSortedKeys(interpreter, item, depth + 1));
    items.push_back(std::move(inner));
    RETURN_IF_ERROR(interpreter.budget().Check());
  }
  return heap.NewSequence(sequence->flavor, std::move(items));
}

Result PrettyPrint(Interpreter& interpreter, const Value& input, const Arguments& arguments) {
  RETURN_IF_ERROR(BoundArguments::Bind("pprint", arguments, {}).status());
  ASSIGN_OR_RETURN(const Value sorted, WithSortedKeys(interpreter, input, 0));
  TextBuilder out(interpreter.heap());
  RETURN_IF_ERROR(AppendRepr(sorted, out));
  constexpr int64_t kWidth = 80;
  if (CountCodePoints(out.text().view()) > kWidth) {
    return absl::InvalidArgumentError("pprint() of more than a line of 80 characters");
  }
  return out.Finish();
}

constexpr FilterEntry kFilters[] = {
    {"filesizeformat", &FileSizeFormat}, {"pprint", &PrettyPrint},
    {"striptags", &StripTags},           {"truncate", &Truncate},
    {"urlencode", &UrlEncode},           {"wordcount", &WordCount},
    {"wordwrap", &WordWrapFilter},       {"xmlattr", &XmlAttributes},
};

}  // namespace

std::span<const FilterEntry> LayoutFilters() { return kFilters; }

}  // namespace spillway::jinja
