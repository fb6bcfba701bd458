#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// The bytes of a model's files: of the one file, of all parts of one that comes in parts
// ("NAME-00001-of-00003.gguf"), or of all files in the folder itself. 0 for what can't be read.
int64_t ModelBytes(const std::string& path);

}  // namespace spillway
