#pragma once

#include <string>

#include "worker/text/tokenizer.h"

namespace spillway {

inline constexpr TokenId kByteVocabularyEnd = 256;    // "<|end|>": control, ends the text
inline constexpr TokenId kByteVocabularyStart = 257;  // "<|start|>": control
inline constexpr int32_t kByteVocabularySize = 258;

// The smallest real vocabulary: token b is the byte b, then two control tokens. No merges, so a
// text's tokens are its bytes.
TokenizerSpec ByteVocabulary();

}  // namespace spillway
