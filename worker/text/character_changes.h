#pragma once

#include <memory>

#include "worker/text/text_change.h"
#include "worker/text/tokenizer_spec.h"
#include "worker/text/unicode_normalization.h"

namespace spillway {

// Steps that look at one character at a time: kNmt, kLowercase, kStripAccents, kByteLevel, and the
// parts of kBert. Appends what `step` is made of; nothing for other kinds.
void AddCharacterChanges(const NormalizerStep& step, TextChanges& changes);

// Puts a text into one of Unicode's normal forms.
std::unique_ptr<TextChange> MakeUnicodeChange(UnicodeNormalization::Form form);

}  // namespace spillway
