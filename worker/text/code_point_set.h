#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace spillway {

// From `first` to `last`, both included.
struct CodePointRange {
  char32_t first = 0;
  char32_t last = 0;
};

// A set of Unicode characters, to be put together from others. Cheap to make; Has() is a binary
// search.
class CodePointSet {
 public:
  static constexpr char32_t kMax = 0x10FFFF;

  CodePointSet() = default;
  explicit CodePointSet(char32_t c) : ranges_{{c, c}} {}
  // In any order, overlapping too.
  explicit CodePointSet(std::span<const CodePointRange> ranges);

  void Add(CodePointRange range);
  void Add(const CodePointSet& other);

  CodePointSet Without(const CodePointSet& other) const;
  CodePointSet And(const CodePointSet& other) const;
  CodePointSet Complement() const;

  bool Has(char32_t c) const;
  bool empty() const { return ranges_.empty(); }

  // Sorted, apart from one another.
  std::span<const CodePointRange> ranges() const { return ranges_; }

 private:
  void Normalize();

  std::vector<CodePointRange> ranges_;
};

// A finished set whose Has() is a look into a bitmap for all but the rarest characters. 8 KiB.
class CodePointBitmap {
 public:
  explicit CodePointBitmap(const CodePointSet& set);

  bool Has(char32_t c) const {
    if (c < kBitmapSize) return (bits_[c / 64] >> (c % 64) & 1) != 0;
    return HasRare(c);
  }

 private:
  static constexpr char32_t kBitmapSize = 0x10000;

  bool HasRare(char32_t c) const;

  std::vector<uint64_t> bits_;
  CodePointSet rare_;
};

}  // namespace spillway
