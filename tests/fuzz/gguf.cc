// Any bytes as a GGUF file: it is refused, or all that it holds can be read; and what passes for a
// model is refused by the loader, or runs.
#include "worker/model/gguf.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/model/decoder.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/model/kv_cache.h"
#include "worker/model/model_spec.h"
#include "worker/model/weights.h"

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

// Two tokens through the model, on the instruction set whose code the sanitizers see through.
void RunModel(const spillway::ModelSpec& spec, const spillway::GgufFile& file) {
  spillway::ThreadTeam team(1);
  const auto weights = spillway::ModelWeights::Load(spec, file, team);
  if (!weights.ok()) {
    CHECK(!weights.status().message().empty());
    return;
  }
  auto cache = spillway::KvCache::Allocate(spec, /*block_count=*/1);
  CHECK(cache.ok());
  const auto decoder = spillway::Decoder::Make(
      spec, *weights, {.tokens_max = 2, .slices_max = 1, .positions_max = 2}, *cache, team,
      spillway::CpuKernelsFor(spillway::CpuIsa::kScalar));
  CHECK(decoder.ok());
  const std::vector<spillway::TokenId> tokens = {0, spec.vocabulary_size - 1};
  const std::vector<int32_t> blocks = {0};
  const spillway::DecoderSlice slice = {.tokens = tokens, .blocks = blocks, .logits = true};
  (*decoder)->Forward({&slice, 1});
  CHECK((*decoder)->logits(0).size() == static_cast<size_t>(spec.vocabulary_size));
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
    RunModel(*spec, **file);
  }
  if (const auto spec = spillway::TokenizerSpecFromGguf(**file); spec.ok()) {
    CHECK(spec->types.size() == spec->tokens.size());
  }
  spillway::ChatTemplatesFromGguf(**file).IgnoreError();
  return 0;
}
