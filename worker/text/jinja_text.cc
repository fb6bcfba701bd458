#include "worker/text/jinja_text.h"

#include <algorithm>
#include <utility>

namespace spillway::jinja {

Text Text::Trusted(std::string bytes) {
  Text text;
  text.bytes_ = std::move(bytes);
  text.AddRange({0, text.bytes_.size()});
  return text;
}

Text Text::Untrusted(std::string bytes) {
  Text text;
  text.bytes_ = std::move(bytes);
  return text;
}

void Text::AppendTrusted(std::string_view bytes) {
  bytes_ += bytes;
  AddRange({bytes_.size() - bytes.size(), bytes_.size()});
}

void Text::Append(const Text& other, size_t begin, size_t end) {
  const size_t base = bytes_.size();
  bytes_ += other.view().substr(begin, end - begin);
  auto range =
      std::lower_bound(other.trusted_.begin(), other.trusted_.end(), begin,
                       [](const TextRange& candidate, size_t at) { return candidate.end <= at; });
  for (; range != other.trusted_.end() && range->begin < end; ++range) {
    AddRange(
        {base + std::max(range->begin, begin) - begin, base + std::min(range->end, end) - begin});
  }
}

Text Text::Substring(size_t begin, size_t end) const {
  Text text;
  text.Append(*this, begin, end);
  text.is_markup_ = is_markup_;
  return text;
}

void Text::AddRange(TextRange range) {
  if (range.begin == range.end) return;
  if (!trusted_.empty() && trusted_.back().end == range.begin) {
    trusted_.back().end = range.end;
  } else {
    trusted_.push_back(range);
  }
}

}  // namespace spillway::jinja
