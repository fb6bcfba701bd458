#pragma once

#include <string_view>

namespace spillway {

// Whether the text of a token that was added to a vocabulary is that of a control token, whatever
// its file calls it: <|…|> or <｜…｜>. Files mark some turn markers as ordinary text (Cohere's
// <|START_OF_TURN_TOKEN|>, DeepSeek's <｜User｜>); who could write them could speak for others.
// llama.cpp's converter takes the same ones (convert_hf_to_gguf.py, does_token_look_special).
bool LooksLikeControl(std::string_view text);

}  // namespace spillway
