#pragma once

#include <string>
#include <string_view>

namespace spillway {

// The name that a model's file or folder suggests: its last part without ".gguf", the number of its
// part ("-00001-of-00003") and the quantisation (".Q4_1", "-Q4_K_M", "-F16"), lower case, dashes
// for whatever a URL or a label would have to escape. "smollm2-135m-instruct" for
// "models/SmolLM2-135M-Instruct.Q4_1.gguf"; "model" when nothing is left.
//
// In Hugging Face's cache the repository gives the name: "qwen3-0.6b" for
// "hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de".
std::string ModelNameFromPath(std::string_view path);

// "-00001-of-00003" where a file's name, without ".gguf", ends in the number of a part; else empty.
std::string_view PartNumberOf(std::string_view name);

}  // namespace spillway
