#include "worker/text/jinja_word_wrap.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/status_macros.h"
#include "worker/text/unicode_classes.h"
#include "worker/text/utf8.h"

namespace spillway::jinja {
namespace {

bool IsSpace(char32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool IsWord(char32_t c) {  // \w
  return c == '_' || unicode::IsAlpha(c) || unicode::IsDecimal(c) || unicode::IsDigit(c) ||
         unicode::IsNumeric(c);
}

bool IsLetter(char32_t c) { return IsWord(c) && !unicode::IsDecimal(c); }

bool IsWordOrPunctuation(char32_t c) {
  return IsWord(c) ||
         (c < 0x80 && std::string_view("!\"'&.,?").find(static_cast<char>(c)) != std::string::npos);
}

// Characters [begin, end) of the line.
struct Chunk {
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
};

// Cuts a line where it may be broken: TextWrapper's wordsep_re, told as a scan.
class Chunker {
 public:
  Chunker(const std::vector<char32_t>& line, bool on_hyphens)
      : line_(line), on_hyphens_(on_hyphens) {}

  std::vector<Chunk> Run() const {
    std::vector<Chunk> chunks;
    for (size_t at = 0; at < line_.size();) {
      const size_t end = EndOf(at);
      chunks.push_back({at, end});
      at = end;
    }
    return chunks;
  }

 private:
  bool Has(size_t i, bool (*is)(char32_t)) const { return i < line_.size() && is(line_[i]); }
  bool IsDash(size_t i) const { return i < line_.size() && line_[i] == '-'; }

  // Behind a word, two dashes or more before the next; 0: not here.
  size_t LongDash(size_t at) const {
    if (at == 0 || !IsWordOrPunctuation(line_[at - 1])) return 0;
    size_t end = at;
    while (IsDash(end)) ++end;
    return end - at >= 2 && Has(end, &IsWord) ? end - at : 0;
  }

  // A dash inside a word, with letters around it.
  bool IsHyphen(size_t at) const {
    if (!IsDash(at) || at < 2) return false;
    const bool behind_letters = IsLetter(line_[at - 2]) && IsLetter(line_[at - 1]);
    const bool behind_hyphenated = at >= 3 && IsLetter(line_[at - 3]) && line_[at - 2] == '-' &&
                                   IsWordOrPunctuation(line_[at - 1]);
    if (!behind_letters && !behind_hyphenated) return false;
    return Has(at + 1, &IsLetter) && Has(IsDash(at + 2) ? at + 3 : at + 2, &IsLetter);
  }

  size_t EndOf(size_t at) const {
    size_t end = at;
    if (IsSpace(line_[at])) {
      while (Has(end, &IsSpace)) ++end;
      return end;
    }
    if (!on_hyphens_) {
      while (end < line_.size() && !IsSpace(line_[end])) ++end;
      return end;
    }
    if (const size_t dash = LongDash(at); dash > 0) return at + dash;
    for (end = at + 1; end < line_.size() && !IsSpace(line_[end]); ++end) {
      if (IsHyphen(end)) return end + 1;
      if (LongDash(end) > 0) return end;
    }
    return end;
  }

  const std::vector<char32_t>& line_;
  const bool on_hyphens_;
};

// TextWrapper._wrap_chunks().
class Wrapper {
 public:
  Wrapper(const std::vector<char32_t>& line, const WordWrap& style)
      : line_(line), style_(style), chunks_(Chunker(line, style.break_on_hyphens).Run()) {}

  std::vector<Chunk> Run() {
    std::vector<Chunk> lines;
    while (next_ < chunks_.size()) {
      if (IsBlank(chunks_[next_]) && !lines.empty()) ++next_;
      const size_t first_chunk = next_;
      const size_t begin = next_ < chunks_.size() ? chunks_[next_].begin : line_.size();
      const auto width = static_cast<size_t>(style_.width);
      size_t end = begin;
      size_t last_begin = begin;  // of the last piece on this line
      while (next_ < chunks_.size() && chunks_[next_].end - begin <= width) {
        last_begin = chunks_[next_].begin;
        end = chunks_[next_++].end;
      }
      if (next_ < chunks_.size() && chunks_[next_].size() > width) {
        const size_t taken = TakeLongWord(width - (end - begin), /*first=*/next_ == first_chunk);
        if (taken > 0) last_begin = std::exchange(end, end + taken);
      }
      if (end > begin && IsBlank({last_begin, end})) end = last_begin;
      if (end > begin) lines.push_back({begin, end});
    }
    return lines;
  }

 private:
  bool IsBlank(const Chunk& chunk) const {
    for (size_t i = chunk.begin; i < chunk.end; ++i) {
      if (!IsUnicodeSpace(line_[i])) return false;
    }
    return true;
  }

  // Takes what fits of a word longer than a line; how much.
  size_t TakeLongWord(size_t room, bool first) {
    Chunk& chunk = chunks_[next_];
    if (!style_.break_long_words) {
      if (!first) return 0;
      ++next_;
      return chunk.size();
    }
    size_t taken = room;
    if (style_.break_on_hyphens) {
      size_t hyphen = chunk.begin + room;
      while (hyphen > chunk.begin && line_[hyphen - 1] != '-') --hyphen;
      const auto begin = line_.begin() + static_cast<ptrdiff_t>(chunk.begin);
      const auto end = line_.begin() + static_cast<ptrdiff_t>(hyphen);
      if (hyphen > chunk.begin + 1 &&
          std::any_of(begin, end - 1, [](char32_t c) { return c != '-'; })) {
        taken = hyphen - chunk.begin;
      }
    }
    chunk.begin += taken;
    return taken;
  }

  const std::vector<char32_t>& line_;
  const WordWrap style_;
  std::vector<Chunk> chunks_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Text>> WrapLine(const Text& line, const WordWrap& style,
                                           Budget& budget) {
  if (style.width <= 0) return absl::InvalidArgumentError("wordwrap(): the width must be positive");
  budget.Charge(static_cast<int64_t>(line.size() / 16));
  RETURN_IF_ERROR(budget.Check());
  std::vector<char32_t> characters;
  std::vector<size_t> offsets;
  for (size_t at = 0; at < line.size();) {
    const Utf8Character c = FirstUtf8Character(line.view().substr(at));
    characters.push_back(c.code_point);
    offsets.push_back(at);
    at += static_cast<size_t>(c.size);
  }
  offsets.push_back(line.size());
  std::vector<Text> lines;
  for (const Chunk& part : Wrapper(characters, style).Run()) {
    lines.push_back(line.Substring(offsets[part.begin], offsets[part.end]));
  }
  return lines;
}

}  // namespace spillway::jinja
