#include "worker/text/code_point_set.h"

#include <algorithm>

namespace spillway {

CodePointSet::CodePointSet(std::span<const CodePointRange> ranges)
    : ranges_(ranges.begin(), ranges.end()) {
  Normalize();
}

void CodePointSet::Add(CodePointRange range) {
  ranges_.push_back(range);
  Normalize();
}

void CodePointSet::Add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  Normalize();
}

void CodePointSet::Normalize() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  size_t kept = 0;
  for (const CodePointRange& range : ranges_) {
    if (kept > 0 && range.first <= ranges_[kept - 1].last + 1) {
      ranges_[kept - 1].last = std::max(ranges_[kept - 1].last, range.last);
    } else {
      ranges_[kept++] = range;
    }
  }
  ranges_.resize(kept);
}

CodePointSet CodePointSet::Complement() const {
  CodePointSet out;
  char32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) out.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMax) out.ranges_.push_back({next, kMax});
  return out;
}

CodePointSet CodePointSet::And(const CodePointSet& other) const {
  CodePointSet out;
  auto mine = ranges_.begin();
  auto theirs = other.ranges_.begin();
  while (mine != ranges_.end() && theirs != other.ranges_.end()) {
    const char32_t first = std::max(mine->first, theirs->first);
    const char32_t last = std::min(mine->last, theirs->last);
    if (first <= last) out.ranges_.push_back({first, last});
    ++(mine->last < theirs->last ? mine : theirs);
  }
  return out;
}

CodePointSet CodePointSet::Without(const CodePointSet& other) const {
  return And(other.Complement());
}

bool CodePointSet::Has(char32_t c) const {
  const auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), c,
      [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges_.begin() && c <= std::prev(after)->last;
}

CodePointBitmap::CodePointBitmap(const CodePointSet& set) : bits_(kBitmapSize / 64) {
  for (const CodePointRange& range : set.ranges()) {
    for (char32_t c = range.first; c <= std::min<char32_t>(range.last, kBitmapSize - 1); ++c) {
      bits_[c / 64] |= uint64_t{1} << (c % 64);
    }
  }
  const CodePointRange rare{kBitmapSize, CodePointSet::kMax};
  rare_ = set.And(CodePointSet(std::span(&rare, 1)));
}

bool CodePointBitmap::HasRare(char32_t c) const { return rare_.Has(c); }

}  // namespace spillway
