#include "worker/text/jinja_strings.h"

#include <string.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "worker/text/unicode_classes.h"
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

constexpr char32_t kSigma = 0x3A3;

// The lower case of a sigma at [begin, end) of `text`: another one at the end of a word.
char32_t LowerSigma(std::string_view text, size_t begin, size_t end) {
  bool cased_before = false;
  while (begin > 0) {
    const Character c = LastCharacter(text, begin);
    begin = c.begin;
    if (unicode::IsCaseIgnorable(c.code_point)) continue;
    cased_before = unicode::IsCased(c.code_point);
    break;
  }
  bool cased_behind = false;
  while (end < text.size()) {
    const Utf8Character c = FirstUtf8Character(text.substr(end));
    end += static_cast<size_t>(c.size);
    if (unicode::IsCaseIgnorable(c.code_point)) continue;
    cased_behind = unicode::IsCased(c.code_point);
    break;
  }
  return cased_before && !cased_behind ? 0x3C2 : 0x3C3;
}

// What Jinja's title filter takes for the space between words.
bool PartsWords(char32_t c) {
  constexpr std::string_view kParting = "-({[<";
  return IsUnicodeSpace(c) ||
         (c < 0x80 && kParting.find(static_cast<char>(c)) != std::string_view::npos);
}

// The end of the word, or of what parts words, at `begin`.
size_t WordEnd(std::string_view text, size_t begin) {
  const bool parts = PartsWords(FirstUtf8Character(text.substr(begin)).code_point);
  size_t end = begin;
  while (end < text.size()) {
    const Utf8Character c = FirstUtf8Character(text.substr(end));
    if (PartsWords(c.code_point) != parts) break;
    end += static_cast<size_t>(c.size);
  }
  return end;
}

// Changes case one character after the other, in order.
class CaseChanger {
 public:
  CaseChanger(std::string_view text, Case to) : text_(text), to_(to), context_end_(text.size()) {}

  void Append(const Character& character, std::string& out) {
    const char32_t c = character.code_point;
    switch (to_) {
      case Case::kUpper:
        return unicode::AppendUpper(c, out);
      case Case::kLower:
        return AppendLower(character, out);
      case Case::kFolded:
        return unicode::AppendFolded(c, out);
      case Case::kSwap:
        if (unicode::IsUpper(c)) return AppendLower(character, out);
        return unicode::IsLower(c) ? unicode::AppendUpper(c, out) : AppendUtf8(c, out);
      case Case::kCapitalized:
        return character.begin == 0 ? unicode::AppendTitle(c, out) : AppendLower(character, out);
      case Case::kTitle: {
        const bool inside_word = std::exchange(inside_word_, unicode::IsCased(c));
        return inside_word ? AppendLower(character, out) : unicode::AppendTitle(c, out);
      }
      case Case::kJinjaTitle:
        // Words and what parts them, each by itself: its first letter, and the rest.
        if (character.begin > 0 && character.begin != context_end_) {
          return AppendLower(character, out);
        }
        context_begin_ = character.end;
        context_end_ = WordEnd(text_, character.begin);
        return unicode::AppendUpper(c, out);
    }
  }

 private:
  void AppendLower(const Character& character, std::string& out) {
    if (character.code_point != kSigma) return unicode::AppendLower(character.code_point, out);
    AppendUtf8(LowerSigma(text_.substr(context_begin_, context_end_ - context_begin_),
                          character.begin - context_begin_, character.end - context_begin_),
               out);
  }

  const std::string_view text_;
  const Case to_;
  bool inside_word_ = false;
  // The part of the text that decides whether a sigma is at an end.
  size_t context_begin_ = 0;
  size_t context_end_;
};

// str.split() without a separator. The part that the limit leaves whole keeps its inner spaces, and
// those at the text's other end.
absl::StatusOr<std::vector<TextRange>> SplitAtSpace(std::string_view text, int64_t splits_max,
                                                    bool from_right, Budget& budget) {
  std::vector<TextRange> words;
  ForEachCharacter(text, [&](const Character& character) {
    if (IsUnicodeSpace(character.code_point) || budget.exhausted()) return;
    if (!words.empty() && words.back().end == character.begin) {
      words.back().end = character.end;
    } else {
      words.push_back({character.begin, character.end});
      budget.Charge(1);
    }
  });
  RETURN_IF_ERROR(budget.Check());
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
  return words;
}

}  // namespace

Text Strip(const Text& text, const Text* characters, Side side) {
  std::vector<char32_t> set;
  if (characters != nullptr) {
    ForEachCharacter(characters->view(), [&](const Character& c) { set.push_back(c.code_point); });
    std::sort(set.begin(), set.end());
  }
  const auto strips = [&](const Character& character) {
    if (characters == nullptr) return IsUnicodeSpace(character.code_point);
    return std::binary_search(set.begin(), set.end(), character.code_point);
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

size_t FindText(std::string_view text, std::string_view pattern, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  // memmem takes linear time whatever the texts; string_view::find doesn't.
  const void* const found =
      memmem(text.data() + from, text.size() - from, pattern.data(), pattern.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLastText(std::string_view text, std::string_view pattern) {
  const std::string reversed(text.rbegin(), text.rend());
  const size_t found = FindText(reversed, std::string(pattern.rbegin(), pattern.rend()));
  return found == std::string_view::npos ? found : text.size() - found - pattern.size();
}

absl::StatusOr<std::vector<Text>> Split(const Text& text, const Text* separator, int64_t splits_max,
                                        bool from_right, Budget& budget) {
  budget.Charge(static_cast<int64_t>(text.size() / 64));
  RETURN_IF_ERROR(budget.Check());
  std::vector<TextRange> ranges;
  if (separator == nullptr) {
    ASSIGN_OR_RETURN(ranges, SplitAtSpace(text.view(), splits_max, from_right, budget));
  } else {
    if (separator->size() == 0) return absl::InvalidArgumentError("empty separator");
    // From the right is from the left in the mirror.
    std::string_view view = text.view();
    std::string mirrored;
    std::string pattern(separator->view());
    if (from_right) {
      mirrored.assign(view.rbegin(), view.rend());
      view = mirrored;
      std::reverse(pattern.begin(), pattern.end());
    }
    size_t begin = 0;
    for (; splits_max != 0; --splits_max) {
      const size_t at = FindText(view, pattern, begin);
      if (at == std::string_view::npos) break;
      ranges.push_back({begin, at});
      begin = at + pattern.size();
      budget.Charge(1);
      RETURN_IF_ERROR(budget.Check());
    }
    ranges.push_back({begin, view.size()});
    if (from_right) {
      std::reverse(ranges.begin(), ranges.end());
      for (TextRange& range : ranges) {
        range = {view.size() - range.end, view.size() - range.begin};
      }
    }
  }
  std::vector<Text> parts;
  for (const TextRange& range : ranges) parts.push_back(text.Substring(range.begin, range.end));
  return parts;
}

absl::StatusOr<std::vector<Text>> SplitLines(const Text& text, bool keep_ends, Budget& budget) {
  std::vector<Text> lines;
  size_t begin = 0;
  const std::string_view view = text.view();
  ForEachCharacter(view, [&](const Character& character) {
    const char32_t c = character.code_point;
    const bool newline = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                         c == 0x2028 || c == 0x2029;
    if (!newline || character.begin < begin || budget.exhausted()) return;
    const bool pair = c == '\r' && view.substr(character.end).starts_with('\n');
    const size_t end = character.end + (pair ? 1 : 0);
    lines.push_back(text.Substring(begin, keep_ends ? end : character.begin));
    budget.Charge(1);
    begin = end;
  });
  RETURN_IF_ERROR(budget.Check());
  if (begin < text.size()) lines.push_back(text.Substring(begin, text.size()));
  return lines;
}

absl::Status Replace(const Text& text, const Text& from, const Text& to, int64_t count,
                     TextBuilder& out) {
  size_t done = 0;
  if (from.size() == 0) {  // Between all characters.
    for (; count != 0; --count) {
      out.Append(to);
      RETURN_IF_ERROR(out.Check());
      if (done == text.size()) break;
      const size_t size = SkipCodePoints(text.view().substr(done), 1);
      out.Append(text, done, done + size);
      done += size;
    }
  } else {
    for (; count != 0; --count) {
      const size_t at = FindText(text.view(), from.view(), done);
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

void ChangeCase(const Text& text, Case to, TextBuilder& out) {
  CaseChanger changer(text.view(), to);
  auto range = text.trusted().begin();
  std::string changed;  // of a run of characters that are all trusted or all not
  bool trusted = false;
  const auto flush = [&] {
    trusted ? out.AppendTrusted(changed) : out.AppendUntrusted(changed);
    changed.clear();
  };
  ForEachCharacter(text.view(), [&](const Character& character) {
    while (range != text.trusted().end() && range->end <= character.begin) ++range;
    const bool is_trusted = range != text.trusted().end() && range->begin <= character.begin;
    if (is_trusted != trusted) flush();
    trusted = is_trusted;
    changer.Append(character, changed);
  });
  flush();
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

int64_t CountCodePoints(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

size_t SkipCodePoints(std::string_view text, int64_t count) {
  size_t at = 0;
  for (; count > 0; --count) {
    do {
      ++at;
    } while (at < text.size() && (text[at] & 0xC0) == 0x80);
  }
  return at;
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
  if (step > 0) return {first, last > first ? (last - first - 1) / step + 1 : 0, last};
  // -(step + 1) can't overflow where -step can.
  const auto back = static_cast<uint64_t>(-(step + 1)) + 1;
  const int64_t count =
      first > last ? static_cast<int64_t>(static_cast<uint64_t>(first - last - 1) / back) + 1 : 0;
  return {first, count, last};
}

absl::StatusOr<Value> SliceText(const Text& text, std::optional<int64_t> begin,
                                std::optional<int64_t> end, int64_t step, Heap& heap) {
  const SliceRange range = ResolveSlice(begin, end, step, CountCodePoints(text.view()));
  if (range.count == 0) return heap.NewString(Text());
  size_t at = SkipCodePoints(text.view(), range.first);
  if (step == 1) {
    const size_t size = SkipCodePoints(text.view().substr(at), range.count);
    return heap.NewString(text.Substring(at, at + size));
  }
  TextBuilder out(heap);
  for (int64_t i = 0; i < range.count; ++i) {
    out.Append(text, at, at + SkipCodePoints(text.view().substr(at), 1));
    if (i + 1 == range.count) break;
    if (step > 0) at += SkipCodePoints(text.view().substr(at), step);
    for (int64_t back = step; back < 0; ++back) at = LastCharacter(text.view(), at).begin;
  }
  return out.Finish();
}

}  // namespace spillway::jinja
