#pragma once

#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Adds to spec.end_of_text: eos, and the control tokens whose text is a known end of a turn or of
// the text (files often name only one of several). The list is then sorted and without repetition.
void AddKnownEndOfText(TokenizerSpec& spec);

}  // namespace spillway
