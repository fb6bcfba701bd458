#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/gguf_reader.h"
#include "worker/model/mapped_file.h"

namespace spillway {

// One file of a model.
struct GgufPart {
  std::unique_ptr<MappedFile> file;  // null when the bytes are the caller's
  std::span<const std::byte> bytes;
  GgufHeader header;
};

// "-00002-of-00003.gguf" for `index` 1 of 3.
std::string GgufPartSuffix(int64_t index, int64_t count);

// The files of the model whose first one is `path`: one, or as many as its metadata says.
//
// Large models come in parts NAME-00001-of-00003.gguf … (llama.cpp's llama-gguf-split): the first
// has all metadata, and each has tensors and the keys split.no, split.count, split.tensors.count.
//
// Errors as GgufFile::Open(), each with the path of its file. INVALID_ARGUMENT also: `path` isn't
// the first part, or the parts don't fit together.
absl::StatusOr<std::vector<GgufPart>> OpenGgufParts(const std::string& path);

}  // namespace spillway
