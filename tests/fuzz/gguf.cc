// Any bytes as a GGUF file: it is refused, or all that it holds can be read.
#include "worker/model/gguf.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/model/model_spec.h"

namespace {

void ReadAll(const spillway::GgufFile& file) {
  size_t bytes = 0;
  for (const std::string_view key : file.KeysWithPrefix("")) {
    CHECK(file.Has(key));
    file.GetInt(key).IgnoreError();
    file.GetFloat(key).IgnoreError();
    file.GetBool(key).IgnoreError();
    file.GetInts(key).IgnoreError();
    file.GetFloats(key).IgnoreError();
    if (const auto text = file.GetString(key); text.ok()) bytes += text->size();
    if (const auto texts = file.GetStrings(key); texts.ok()) {
      for (const std::string_view text : *texts)
        bytes += text.empty() ? 0 : static_cast<unsigned char>(text.back());
    }
  }
  for (const spillway::ModelTensor& tensor : file.tensors()) {
    CHECK(file.FindTensor(tensor.name) == &tensor);
    CHECK(!tensor.data.empty());
    bytes += static_cast<size_t>(tensor.data.front()) + static_cast<size_t>(tensor.data.back());
  }
  // The compiler may not leave the reads out.
  volatile size_t sink = bytes;
  (void)sink;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  const auto file = spillway::GgufFile::Parse(bytes);
  if (!file.ok()) {
    CHECK(!file.status().message().empty());
    return 0;
  }
  ReadAll(**file);
  if (const auto spec = spillway::ModelSpecFromGguf(**file); spec.ok()) {
    CHECK(spec->head_count % spec->kv_head_count == 0 && spec->head_size > 0);
  }
  if (const auto spec = spillway::TokenizerSpecFromGguf(**file); spec.ok()) {
    CHECK(spec->types.size() == spec->tokens.size());
  }
  spillway::ChatTemplateFromGguf(**file).IgnoreError();
  return 0;
}
