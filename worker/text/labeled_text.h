#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// A text that is being changed, and for each byte which trusted range of the original it comes
// from: what a normalizer makes of a user's text must not become a control token either.
struct LabeledText {
  std::string text{};
  std::vector<uint32_t> labels{};  // per byte, 0: untrusted; or empty: they are not kept
};

// Writes a changed copy of a text, from its beginning to its end.
class LabeledTextWriter {
 public:
  explicit LabeledTextWriter(const LabeledText& from) : from_(from) {
    to_.text.reserve(from.text.size());
  }

  // Copies the next bytes, up to `end`.
  void CopyTo(size_t end);
  // Puts `with` in the place of the next bytes, up to `end`. The new bytes have the label that all
  // the old ones share, else none; but what both begin with keeps its own.
  void ReplaceTo(size_t end, std::string_view with);
  // Adds `text` here, with the label of the byte that follows (at the end: of the one before).
  void Insert(std::string_view text);

  size_t at() const { return at_; }
  // Copies the rest.
  LabeledText Finish();

 private:
  const LabeledText& from_;
  LabeledText to_;
  size_t at_ = 0;
};

}  // namespace spillway
