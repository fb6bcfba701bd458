#pragma once

#include <cstddef>
#include <string_view>

#include "worker/text/unicode_properties.h"

namespace spillway {

// Cuts a text into extended grapheme clusters (UAX #29), but for those of flags and of emoji that
// are joined: they fall apart here. Immutable: any thread may use it at once.
class Graphemes {
 public:
  Graphemes();

  // The bytes of the cluster that `text` begins with. Requires UTF-8 that is not empty.
  size_t FirstSize(std::string_view text) const;

 private:
  enum class Class { kOther, kControl, kExtend, kPrepend, kLead, kVowel, kTail, kLv, kLvt };

  Class ClassOf(char32_t c) const;
  static bool Joins(Class before, Class after);

  const CodePointBitmap extend_;  // with spacing marks
  const CodePointBitmap prepend_;
  const CodePointBitmap control_;
};

}  // namespace spillway
