#include "worker/text/jinja_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/text/jinja_objects.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

// Lists and dicts within each other; a list that contains itself would have no end.
constexpr int kNestingMax = 200;

absl::Status NestedTooDeep() {
  return absl::InvalidArgumentError(
      absl::StrCat("lists and dicts are nested deeper than ", kNestingMax));
}

void AppendStringRepr(std::string_view text, const UnicodeClasses& unicode, TextBuilder& out) {
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
    } else if (unicode.IsPrintable(c)) {
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
  return value.object()->Repr();
}

class ReprWriter {
 public:
  ReprWriter(const UnicodeClasses& unicode, TextBuilder& out) : unicode_(unicode), out_(out) {}

  absl::Status Write(const Value& value, int depth) {
    if (depth > kNestingMax) return NestedTooDeep();
    if (const Text* text = value.string()) {
      AppendStringRepr(text->view(), unicode_, out_);
    } else if (const Sequence* sequence = value.sequence()) {
      return WriteSequence(*sequence, depth);
    } else if (const Dict* dict = value.dict()) {
      return WriteDict(*dict, depth);
    } else if (auto* const space = dynamic_cast<Namespace*>(value.object())) {
      out_.AppendUntrusted("<Namespace ");
      RETURN_IF_ERROR(WriteDict(space->attributes(), depth));
      out_.AppendUntrusted(">");
    } else {
      out_.AppendUntrusted(value.is_undefined() ? "Undefined" : ScalarStr(value));
    }
    return out_.Check();
  }

 private:
  absl::Status WriteSequence(const Sequence& sequence, int depth) {
    if (sequence.flavor == Sequence::Flavor::kGenerator) {
      out_.AppendUntrusted("<generator>");
      return absl::OkStatus();
    }
    const bool round =
        sequence.flavor == Sequence::Flavor::kTuple || sequence.flavor == Sequence::Flavor::kGroup;
    out_.AppendUntrusted(round ? "(" : "[");
    for (size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) out_.AppendUntrusted(", ");
      RETURN_IF_ERROR(Write(sequence.items[i], depth + 1));
    }
    if (round && sequence.items.size() == 1) out_.AppendUntrusted(",");
    out_.AppendUntrusted(round ? ")" : "]");
    return out_.Check();
  }

  absl::Status WriteDict(const Dict& dict, int depth) {
    out_.AppendUntrusted("{");
    for (const Dict::Entry& entry : dict.entries()) {
      if (&entry != &dict.entries().front()) out_.AppendUntrusted(", ");
      RETURN_IF_ERROR(Write(entry.key, depth + 1));
      out_.AppendUntrusted(": ");
      RETURN_IF_ERROR(Write(entry.value, depth + 1));
    }
    out_.AppendUntrusted("}");
    return out_.Check();
  }

  const UnicodeClasses& unicode_;
  TextBuilder& out_;
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
    } else if (c < 0x20 || (ensure_ascii && c > 0x7F && c < 0x10000)) {
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
  JsonWriter(const JsonStyle& style, TextBuilder& out)
      : style_(style),
        item_separator_(style.item_separator.value_or(style.indent.has_value() ? "," : ", ")),
        key_separator_(style.key_separator.value_or(": ")),
        out_(out) {}

  absl::Status Write(const Value& value, int depth) {
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
    if (const double* number = value.floating()) {
      if (std::isnan(*number)) return "NaN";
      if (std::isinf(*number)) return *number > 0 ? "Infinity" : "-Infinity";
      return FormatFloat(*number);
    }
    return std::nullopt;
  }

  void StartLine(int depth) {
    if (!style_.indent.has_value()) return;
    out_.AppendUntrusted("\n");
    for (int i = 0; i < depth; ++i) out_.AppendUntrusted(*style_.indent);
  }

  absl::Status WriteList(const Sequence& sequence, int depth) {
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

  absl::Status WriteDict(const Dict& dict, int depth) {
    if (dict.entries().empty()) {
      out_.AppendUntrusted("{}");
      return out_.Check();
    }
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const Dict::Entry& entry : dict.entries()) {
      const Text* name = entry.key.string();
      entries.emplace_back(name != nullptr ? std::string(name->view()) : *Scalar(entry.key),
                           &entry.value);
    }
    if (style_.sort_keys) {
      std::sort(entries.begin(), entries.end(),
                [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    out_.AppendUntrusted("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_.AppendUntrusted(item_separator_);
      StartLine(depth + 1);
      AppendJsonString(entries[i].first, style_.ensure_ascii, out_);
      out_.AppendUntrusted(key_separator_);
      RETURN_IF_ERROR(Write(*entries[i].second, depth + 1));
    }
    StartLine(depth);
    out_.AppendUntrusted("}");
    return out_.Check();
  }

  const JsonStyle& style_;
  const std::string item_separator_;
  const std::string key_separator_;
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

absl::Status AppendStr(const Value& value, const UnicodeClasses& unicode, TextBuilder& out) {
  if (const Text* text = value.string()) {
    out.Append(*text);
    return out.Check();
  }
  if (value.sequence() != nullptr || value.dict() != nullptr || value.object() != nullptr) {
    return AppendRepr(value, unicode, out);
  }
  out.AppendUntrusted(ScalarStr(value));
  return out.Check();
}

absl::Status AppendRepr(const Value& value, const UnicodeClasses& unicode, TextBuilder& out) {
  return ReprWriter(unicode, out).Write(value, 0);
}

absl::Status AppendJson(const Value& value, const JsonStyle& style, TextBuilder& out) {
  return JsonWriter(style, out).Write(value, 0);
}

}  // namespace spillway::jinja
