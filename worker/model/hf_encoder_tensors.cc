#include "worker/model/hf_encoder_tensors.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/hf_tensor_map.h"

namespace spillway {
namespace {

// Names in Hugging Face's files and in GGUF's, before ".weight" and ".bias".
struct Row {
  std::string_view hf;
  std::string_view gguf;
};
constexpr Row kTables[] = {{"embeddings.word_embeddings", "token_embd"},
                           {"embeddings.position_embeddings", "position_embd"},
                           {"embeddings.token_type_embeddings", "token_types"}};
constexpr Row kTopNorm = {"embeddings.LayerNorm", "token_embd_norm"};
constexpr Row kLayerRows[] = {{"attention.self.query", "attn_q"},
                              {"attention.self.key", "attn_k"},
                              {"attention.self.value", "attn_v"},
                              {"attention.output.dense", "attn_output"},
                              {"attention.output.LayerNorm", "attn_output_norm"},
                              {"intermediate.dense", "ffn_up"},
                              {"output.dense", "ffn_down"},
                              {"output.LayerNorm", "layer_output_norm"}};

constexpr std::string_view kOtherHeads[] = {"pooler.", "bert.pooler.", "cls."};
constexpr std::string_view kNeedless[] = {"embeddings.position_ids"};

absl::Status TakeBoth(const std::string& hf_name, const std::string& gguf_name, HfTensorMap& map) {
  // The first checkpoints call a norm's two gamma and beta.
  const bool old_names = map.Find(hf_name + ".gamma") != nullptr;
  RETURN_IF_ERROR(map.Take(hf_name + (old_names ? ".gamma" : ".weight"), gguf_name + ".weight"));
  return map.Take(hf_name + (old_names ? ".beta" : ".bias"), gguf_name + ".bias");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> MakeHfEncoderTensors(
    std::unique_ptr<SafetensorsSet> set, std::string_view config_text, const EncoderSpec& spec) {
  HfTensorMap map(std::move(set));
  // Saved by itself, or inside a model with a head.
  const std::string prefix =
      map.Find("bert.embeddings.word_embeddings.weight") == nullptr ? "" : "bert.";
  for (const Row& row : kTables) {
    RETURN_IF_ERROR(map.Take(absl::StrCat(prefix, std::string(row.hf), ".weight"),
                             absl::StrCat(std::string(row.gguf), ".weight")));
  }
  RETURN_IF_ERROR(
      TakeBoth(absl::StrCat(prefix, std::string(kTopNorm.hf)), std::string(kTopNorm.gguf), map));
  for (int32_t layer = 0; layer < spec.layer_count; ++layer) {
    for (const Row& row : kLayerRows) {
      RETURN_IF_ERROR(
          TakeBoth(absl::StrCat(prefix, "encoder.layer.", layer, ".", std::string(row.hf)),
                   absl::StrCat("blk.", layer, ".", std::string(row.gguf)), map));
    }
  }
  return std::move(map).Finish(
      config_text, kOtherHeads, kNeedless,
      absl::StrCat("a ", spec.architecture, " encoder of ", spec.layer_count, " layers"));
}

}  // namespace spillway
