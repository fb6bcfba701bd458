#include "worker/text/jinja_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/text/jinja_objects.h"
#include "worker/text/jinja_sort.h"
#include "worker/text/unicode_classes.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

// Lists and dicts within each other; a list that contains itself would have no end.
constexpr size_t kNestingMax = 200;

absl::Status NestedTooDeep() {
  return absl::InvalidArgumentError(
      absl::StrCat("lists and dicts are nested deeper than ", kNestingMax));
}

void AppendStringRepr(std::string_view text, bool ascii, TextBuilder& out) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string result(1, quote);
  while (!text.empty()) {
    const Utf8Character character = FirstUtf8Character(text);
    const char32_t c = character.code_point;
    if (c == static_cast<unsigned char>(quote) || c == '\\') {
      result += '\\';
      result += static_cast<char>(c);
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\r') {
      result += "\\r";
    } else if (c == '\t') {
      result += "\\t";
    } else if (unicode::IsPrintable(c) && (!ascii || c < 0x80)) {
      result += text.substr(0, character.size);
    } else if (c < 0x100) {
      absl::StrAppendFormat(&result, "\\x%02x", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      absl::StrAppendFormat(&result, "\\u%04x", static_cast<uint32_t>(c));
    } else {
      absl::StrAppendFormat(&result, "\\U%08x", static_cast<uint32_t>(c));
    }
    text.remove_prefix(character.size);
  }
  result += quote;
  out.AppendUntrusted(result);
}

// Numbers, none and the like: nothing that contains another value.
std::string ScalarStr(const Value& value) {
  if (value.is_undefined()) return "";
  if (value.is_none()) return "None";
  if (const bool* boolean = value.boolean()) return *boolean ? "True" : "False";
  if (const int64_t* integer = value.integer()) return absl::StrCat(*integer);
  if (const double* number = value.floating()) return FormatFloat(*number);
  if (const std::string* digits = value.big_integer()) return *digits;
  return value.object()->Repr();
}

class ReprWriter {
 public:
  // `ascii`: as Python's ascii(), which escapes all other characters.
  ReprWriter(bool ascii, TextBuilder& out) : ascii_(ascii), out_(out) {}

  absl::Status Write(const Value& value) {
    if (open_.size() > kNestingMax) return NestedTooDeep();
    if (const Text* text = value.string()) {
      if (text->is_markup()) out_.AppendUntrusted("Markup(");
      AppendStringRepr(text->view(), ascii_, out_);
      if (text->is_markup()) out_.AppendUntrusted(")");
    } else if (const Sequence* sequence = value.sequence()) {
      return WriteSequence(*sequence);
    } else if (const Dict* dict = value.dict()) {
      return WriteDict(*dict);
    } else if (auto* const space = dynamic_cast<Namespace*>(value.object())) {
      out_.AppendUntrusted("<Namespace ");
      RETURN_IF_ERROR(WriteDict(space->attributes()));
      out_.AppendUntrusted(">");
    } else {
      out_.AppendUntrusted(value.is_undefined() ? "Undefined" : ScalarStr(value));
    }
    return out_.Check();
  }

 private:
  struct Brackets {
    std::string_view open;
    std::string_view close;
  };

  static Brackets BracketsOf(const Sequence& sequence) {
    switch (sequence.flavor) {
      case Sequence::Flavor::kTuple:
      case Sequence::Flavor::kGroup:
        return {"(", sequence.items.size() == 1 ? ",)" : ")"};
      case Sequence::Flavor::kKeys:
        return {"dict_keys([", "])"};
      case Sequence::Flavor::kValues:
        return {"dict_values([", "])"};
      case Sequence::Flavor::kItems:
        return {"dict_items([", "])"};
      default:
        return {"[", "]"};
    }
  }

  // Whether `container` is being written: it contains itself, and Python writes three dots.
  bool IsOpen(const void* container) const {
    return std::find(open_.begin(), open_.end(), container) != open_.end();
  }

  absl::Status WriteSequence(const Sequence& sequence) {
    if (sequence.flavor == Sequence::Flavor::kGenerator) {
      out_.AppendUntrusted("<generator>");
      return absl::OkStatus();
    }
    if (sequence.flavor == Sequence::Flavor::kRange) {
      out_.AppendUntrusted(absl::StrCat("range(", sequence.start, ", ", sequence.stop,
                                        sequence.step == 1 ? "" : absl::StrCat(", ", sequence.step),
                                        ")"));
      return out_.Check();
    }
    const Brackets brackets = BracketsOf(sequence);
    out_.AppendUntrusted(brackets.open);
    if (IsOpen(&sequence)) {
      out_.AppendUntrusted("...");
    } else {
      open_.push_back(&sequence);
      for (size_t i = 0; i < sequence.items.size(); ++i) {
        if (i > 0) out_.AppendUntrusted(", ");
        RETURN_IF_ERROR(Write(sequence.items[i]));
      }
      open_.pop_back();
    }
    out_.AppendUntrusted(brackets.close);
    return out_.Check();
  }

  absl::Status WriteDict(const Dict& dict) {
    out_.AppendUntrusted("{");
    if (IsOpen(&dict)) {
      out_.AppendUntrusted("...");
    } else {
      open_.push_back(&dict);
      for (const Dict::Entry& entry : dict.entries()) {
        if (&entry != &dict.entries().front()) out_.AppendUntrusted(", ");
        RETURN_IF_ERROR(Write(entry.key));
        out_.AppendUntrusted(": ");
        RETURN_IF_ERROR(Write(entry.value));
      }
      open_.pop_back();
    }
    out_.AppendUntrusted("}");
    return out_.Check();
  }

  const bool ascii_;
  TextBuilder& out_;
  std::vector<const void*> open_;  // the containers that are being written
};

void AppendJsonString(std::string_view text, bool ensure_ascii, TextBuilder& out) {
  std::string result = "\"";
  const auto append_unit = [&](uint32_t unit) { absl::StrAppendFormat(&result, "\\u%04x", unit); };
  while (!text.empty()) {
    const Utf8Character character = FirstUtf8Character(text);
    const uint32_t c = character.code_point;
    constexpr std::string_view kShort = "\"\\\n\r\t\f\b";
    constexpr std::string_view kShortNames = "\"\\nrtfb";
    const size_t index = c < 0x80 ? kShort.find(static_cast<char>(c)) : std::string_view::npos;
    if (index != std::string_view::npos) {
      result += '\\';
      result += kShortNames[index];
    } else if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) {
      append_unit(c);
    } else if (ensure_ascii && c >= 0x10000) {
      append_unit(0xD800 + ((c - 0x10000) >> 10));
      append_unit(0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      result += text.substr(0, character.size);
    }
    text.remove_prefix(character.size);
  }
  result += '"';
  out.AppendUntrusted(result);
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget, TextBuilder& out)
      : style_(style),
        item_separator_(style.item_separator.value_or(style.indent.has_value() ? "," : ", ")),
        key_separator_(style.key_separator.value_or(": ")),
        budget_(budget),
        out_(out) {}

  absl::Status Write(const Value& value, size_t depth) {
    if (depth > kNestingMax) return NestedTooDeep();
    if (const Text* text = value.string()) {
      AppendJsonString(text->view(), style_.ensure_ascii, out_);
      return out_.Check();
    }
    if (const Sequence* sequence = value.sequence();
        sequence != nullptr && (sequence->flavor == Sequence::Flavor::kList ||
                                sequence->flavor == Sequence::Flavor::kTuple ||
                                sequence->flavor == Sequence::Flavor::kGroup)) {
      return WriteList(*sequence, depth);
    }
    if (const Dict* dict = value.dict()) return WriteDict(*dict, depth);
    const auto scalar = Scalar(value);
    if (!scalar.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("Object of type ", value.TypeName(), " is not JSON serializable"));
    }
    out_.AppendUntrusted(*scalar);
    return out_.Check();
  }

 private:
  static std::optional<std::string> Scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* boolean = value.boolean()) return *boolean ? "true" : "false";
    if (const int64_t* integer = value.integer()) return absl::StrCat(*integer);
    if (const std::string* digits = value.big_integer()) return *digits;
    if (const double* number = value.floating()) {
      if (std::isnan(*number)) return "NaN";
      if (std::isinf(*number)) return *number > 0 ? "Infinity" : "-Infinity";
      return FormatFloat(*number);
    }
    return std::nullopt;
  }

  void StartLine(size_t depth) {
    if (!style_.indent.has_value()) return;
    out_.AppendUntrusted("\n");
    for (size_t i = 0; i < depth; ++i) out_.AppendUntrusted(*style_.indent);
  }

  absl::Status WriteList(const Sequence& sequence, size_t depth) {
    if (sequence.items.empty()) {
      out_.AppendUntrusted("[]");
      return out_.Check();
    }
    out_.AppendUntrusted("[");
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) out_.AppendUntrusted(item_separator_);
      StartLine(depth + 1);
      RETURN_IF_ERROR(Write(sequence.items[i], depth + 1));
    }
    StartLine(depth);
    out_.AppendUntrusted("]");
    return out_.Check();
  }

  // What json.dumps writes as the key, which is always a string there.
  static absl::StatusOr<std::string> KeyText(const Value& key) {
    if (const Text* name = key.string()) return std::string(name->view());
    if (const auto scalar = Scalar(key)) return *scalar;
    return absl::InvalidArgumentError(
        absl::StrCat("keys must be str, int, float, bool or None, not ", key.TypeName()));
  }

  absl::Status SortEntries(std::vector<const Dict::Entry*>& entries) {
    std::vector<Value> keys;
    for (const Dict::Entry* entry : entries) keys.push_back(entry->key);
    ASSIGN_OR_RETURN(const std::vector<size_t> order,
                     SortedOrder(keys, /*reverse=*/false, budget_));
    std::vector<const Dict::Entry*> sorted;
    for (const size_t index : order) sorted.push_back(entries[index]);
    entries = std::move(sorted);
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict, size_t depth) {
    if (dict.entries().empty()) {
      out_.AppendUntrusted("{}");
      return out_.Check();
    }
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) RETURN_IF_ERROR(SortEntries(entries));
    out_.AppendUntrusted("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.AppendUntrusted(item_separator_);
      StartLine(depth + 1);
      ASSIGN_OR_RETURN(const std::string key, KeyText(entries[i]->key));
      AppendJsonString(key, style_.ensure_ascii, out_);
      out_.AppendUntrusted(key_separator_);
      RETURN_IF_ERROR(Write(entries[i]->value, depth + 1));
    }
    StartLine(depth);
    out_.AppendUntrusted("}");
    return out_.Check();
  }

  const JsonStyle& style_;
  const std::string item_separator_;
  const std::string key_separator_;
  Budget& budget_;
  TextBuilder& out_;
};

}  // namespace

std::string FormatFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  // Python's float_repr_style "short": an exponent below 1e-4 and from 1e16.
  std::array<char, 64> buffer{};
  const double magnitude = std::abs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16);
  const auto format = exponent ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
  std::string text(buffer.data(), end.ptr);
  if (!exponent && text.find('.') == std::string::npos) text += ".0";
  return text;
}

absl::Status AppendStr(const Value& value, TextBuilder& out) {
  if (const Text* text = value.string()) {
    out.Append(*text);
    return out.Check();
  }
  if (value.sequence() != nullptr || value.dict() != nullptr || value.object() != nullptr) {
    return AppendRepr(value, out);
  }
  out.AppendUntrusted(ScalarStr(value));
  return out.Check();
}

absl::Status AppendRepr(const Value& value, TextBuilder& out) {
  return ReprWriter(/*ascii=*/false, out).Write(value);
}

absl::Status AppendAscii(const Value& value, TextBuilder& out) {
  return ReprWriter(/*ascii=*/true, out).Write(value);
}

absl::Status AppendJson(const Value& value, const JsonStyle& style, Budget& budget,
                        TextBuilder& out) {
  return JsonWriter(style, budget, out).Write(value, 0);
}

}  // namespace spillway::jinja
