#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "worker/text/code_point_set.h"

namespace spillway {

// The normal forms of UAX #15, with the data that Hugging Face's tokenizers has (Unicode 9: of what
// came later, nothing is decomposed, composed or moved).
//
// Linear in the text but for marks that follow one another, which are sorted. Immutable: any thread
// may use it at once.
class UnicodeNormalization {
 public:
  enum class Form { kNfc, kNfd, kNfkc, kNfkd };

  explicit UnicodeNormalization(Form form);

  // Calls `on_segment(begin, end, text)` for the parts of `text` in order: from `begin` to `end`
  // stands what becomes `text`. What stays as it is comes in as long parts as can be. Bytes that
  // are no UTF-8 stay.
  using OnSegment = std::function<void(size_t begin, size_t end, std::string_view text)>;
  void ForEachSegment(std::string_view text, const OnSegment& on_segment) const;

  std::string Normalize(std::string_view text) const;

 private:
  // Appends the normal form of `segment`, which begins and ends between characters that don't
  // interact.
  void AppendSegment(std::string_view segment, std::string& out) const;

  const bool compatible_;
  const bool composes_;
  // What is changed by itself, or by what may stand before it. All else begins a segment.
  const CodePointBitmap affected_;
};

}  // namespace spillway
