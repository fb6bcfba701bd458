#include "worker/text/jinja_strings.h"

#include <algorithm>

#include "common/status_macros.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

struct Character {
  char32_t code_point = 0;
  size_t begin = 0;
  size_t end = 0;
};

// Calls `on_character` for each character of the text, in order.
template <typename OnCharacter>
void ForEachCharacter(std::string_view text, OnCharacter on_character) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Character first = FirstUtf8Character(text.substr(at));
    const size_t end = at + static_cast<size_t>(first.size);
    on_character(Character{first.code_point, at, end});
    at = end;
  }
}

Character LastCharacter(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
  return {FirstUtf8Character(text.substr(begin)).code_point, begin, end};
}

// str.split() without a separator. The part that the limit leaves whole keeps its inner spaces, and
// those at the text's other end.
std::vector<Text> SplitAtSpace(const Text& text, int64_t splits_max, bool from_right) {
  std::vector<TextRange> words;
  ForEachCharacter(text.view(), [&](const Character& character) {
    if (IsUnicodeSpace(character.code_point)) return;
    if (!words.empty() && words.back().end == character.begin) {
      words.back().end = character.end;
    } else {
      words.push_back({character.begin, character.end});
    }
  });
  if (splits_max >= 0 && splits_max < std::ssize(words)) {
    const auto limit = static_cast<size_t>(splits_max);
    if (from_right) {
      const size_t whole = words.size() - limit;
      words[whole - 1].begin = 0;
      words.erase(words.begin(), words.begin() + static_cast<ptrdiff_t>(whole) - 1);
    } else {
      words[limit].end = text.size();
      words.resize(limit + 1);
    }
  }
  std::vector<Text> parts;
  for (const TextRange& word : words) parts.push_back(text.Substring(word.begin, word.end));
  return parts;
}

}  // namespace

Text Strip(const Text& text, const Text* characters, Side side) {
  const auto strips = [&](const Character& character) {
    if (characters == nullptr) return IsUnicodeSpace(character.code_point);
    const std::string_view bytes =
        text.view().substr(character.begin, character.end - character.begin);
    return characters->view().find(bytes) != std::string_view::npos;
  };
  size_t begin = 0;
  size_t end = text.size();
  while (side != Side::kRight && begin < end) {
    const Utf8Character first = FirstUtf8Character(text.view().substr(begin));
    const Character character = {first.code_point, begin, begin + static_cast<size_t>(first.size)};
    if (!strips(character)) break;
    begin = character.end;
  }
  while (side != Side::kLeft && begin < end) {
    const Character character = LastCharacter(text.view(), end);
    if (!strips(character)) break;
    end = character.begin;
  }
  return text.Substring(begin, end);
}

absl::StatusOr<std::vector<Text>> Split(const Text& text, const Text* separator, int64_t splits_max,
                                        bool from_right, Budget& budget) {
  budget.Charge(static_cast<int64_t>(text.size() / 64));
  RETURN_IF_ERROR(budget.Check());
  if (separator == nullptr) return SplitAtSpace(text, splits_max, from_right);
  if (separator->size() == 0) return absl::InvalidArgumentError("empty separator");
  std::vector<Text> parts;
  const std::string_view view = text.view();
  if (from_right) {
    size_t end = view.size();
    while (splits_max != 0 && end >= separator->size()) {
      const size_t at = view.rfind(separator->view(), end - separator->size());
      if (at == std::string_view::npos) break;
      parts.push_back(text.Substring(at + separator->size(), end));
      end = at;
      --splits_max;
    }
    parts.push_back(text.Substring(0, end));
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  while (splits_max != 0) {
    const size_t at = view.find(separator->view(), begin);
    if (at == std::string_view::npos) break;
    parts.push_back(text.Substring(begin, at));
    begin = at + separator->size();
    --splits_max;
  }
  parts.push_back(text.Substring(begin, view.size()));
  return parts;
}

std::vector<Text> SplitLines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  size_t begin = 0;
  const std::string_view view = text.view();
  ForEachCharacter(view, [&](const Character& character) {
    const char32_t c = character.code_point;
    const bool newline = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                         c == 0x2028 || c == 0x2029;
    if (!newline || character.begin < begin) return;
    const bool pair = c == '\r' && view.substr(character.end).starts_with('\n');
    const size_t end = character.end + (pair ? 1 : 0);
    lines.push_back(text.Substring(begin, keep_ends ? end : character.begin));
    begin = end;
  });
  if (begin < text.size()) lines.push_back(text.Substring(begin, text.size()));
  return lines;
}

absl::Status Replace(const Text& text, const Text& from, const Text& to, int64_t count,
                     TextBuilder& out) {
  size_t done = 0;
  if (from.size() == 0) {  // Between all characters.
    for (const size_t at : CodePointOffsets(text.view())) {
      out.Append(text, done, at);
      done = at;
      if (count-- == 0) break;
      out.Append(to);
      RETURN_IF_ERROR(out.Check());
    }
  } else {
    for (; count != 0; --count) {
      const size_t at = text.view().find(from.view(), done);
      if (at == std::string_view::npos) break;
      out.Append(text, done, at);
      out.Append(to);
      RETURN_IF_ERROR(out.Check());
      done = at + from.size();
    }
  }
  out.Append(text, done, text.size());
  return out.Check();
}

void ChangeCase(const Text& text, Case to, const UnicodeClasses& unicode, TextBuilder& out) {
  bool inside_word = false;
  bool first = true;
  auto range = text.trusted().begin();
  ForEachCharacter(text.view(), [&](const Character& character) {
    const char32_t c = character.code_point;
    const bool upper = to == Case::kUpper || (to == Case::kSwap && !unicode.IsUpper(c)) ||
                       (to == Case::kCapitalized && first) ||
                       ((to == Case::kTitle || to == Case::kJinjaTitle) && !inside_word);
    std::string changed;
    if (upper) {
      unicode.AppendUpper(c, changed);
    } else {
      unicode.AppendLower(c, changed);
    }
    first = false;
    // str.title() starts words at letters; Jinja's filter after spaces and opening brackets.
    inside_word = to == Case::kJinjaTitle
                      ? !IsUnicodeSpace(c) &&
                            (c >= 0x80 || std::string_view("-({[<").find(static_cast<char>(c)) ==
                                              std::string_view::npos)
                      : unicode.IsUpper(c) || unicode.IsLower(c);
    while (range != text.trusted().end() && range->end <= character.begin) ++range;
    if (range != text.trusted().end() && range->begin <= character.begin) {
      out.AppendTrusted(changed);
    } else {
      out.AppendUntrusted(changed);
    }
  });
}

void EscapeHtml(const Text& text, TextBuilder& out) {
  if (text.is_markup()) return out.Append(text);
  constexpr std::string_view kSpecial = "&<>'\"";
  constexpr std::string_view kEntities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  for (size_t at = 0; at < text.size();) {
    const size_t special = std::min(text.view().find_first_of(kSpecial, at), text.size());
    out.Append(text, at, special);
    if (special == text.size()) break;
    out.AppendUntrusted(kEntities[kSpecial.find(text.view()[special])]);
    at = special + 1;
  }
}

std::vector<size_t> CodePointOffsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t at = 0; at < text.size(); ++at) {
    if ((text[at] & 0xC0) != 0x80) offsets.push_back(at);
  }
  offsets.push_back(text.size());
  return offsets;
}

SliceRange ResolveSlice(std::optional<int64_t> begin, std::optional<int64_t> end, int64_t step,
                        int64_t length) {
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? length : length - 1;
  const auto resolve = [&](std::optional<int64_t> index, int64_t otherwise) {
    if (!index.has_value()) return otherwise;
    if (*index < 0) return *index < -length ? low : std::max(*index + length, low);
    return std::min(*index, high);
  };
  const int64_t first = resolve(begin, step > 0 ? low : high);
  const int64_t last = resolve(end, step > 0 ? high : low);
  if (step > 0) return {first, last > first ? (last - first - 1) / step + 1 : 0};
  // -(step + 1) can't overflow where -step can.
  const auto back = static_cast<uint64_t>(-(step + 1)) + 1;
  return {first, first > last
                     ? static_cast<int64_t>(static_cast<uint64_t>(first - last - 1) / back) + 1
                     : 0};
}

absl::StatusOr<Value> SliceText(const Text& text, std::optional<int64_t> begin,
                                std::optional<int64_t> end, int64_t step, Heap& heap) {
  heap.budget().ChargeBytes(text.size());
  const std::vector<size_t> offsets = CodePointOffsets(text.view());
  const SliceRange range = ResolveSlice(begin, end, step, static_cast<int64_t>(offsets.size()) - 1);
  if (step == 1) {
    return heap.NewString(text.Substring(offsets[range.first], offsets[range.first + range.count]));
  }
  TextBuilder out(heap);
  int64_t index = range.first;
  for (int64_t i = 0; i < range.count; ++i) {
    out.Append(text, offsets[index], offsets[index + 1]);
    if (i + 1 < range.count) index += step;
  }
  return out.Finish();
}

}  // namespace spillway::jinja
