#include "worker/model/hf_decoder_tensors.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/hf_tensor_map.h"

namespace spillway {
namespace {

// Where checkpoints keep the decoder: alone, as a part of several (both ways that transformers has
// written them), or saved without its head.
struct Prefix {
  std::string_view decoder;
  std::string_view head;
};
constexpr Prefix kPrefixes[] = {
    {"model.", "lm_head.weight"},
    {"model.language_model.", "lm_head.weight"},
    {"language_model.model.", "language_model.lm_head.weight"},
    {"", "lm_head.weight"},
};

// Parts beside the text part, which we don't run.
constexpr std::string_view kOtherParts[] = {"vision_tower.", "multi_modal_projector.",
                                            "model.vision_tower.", "model.multi_modal_projector."};

// Numbers that old checkpoints keep and nothing needs: rope's frequencies.
constexpr std::string_view kNeedless[] = {"rotary_emb.inv_freq"};

// A layer's tensor: its name in Hugging Face's files and in GGUF's, and which models have it.
struct LayerRow {
  std::string_view hf;
  std::string_view gguf;
  bool (*is_part_of)(const ModelSpec& spec);
};
bool Always(const ModelSpec& /*spec*/) { return true; }
bool WithPostNorms(const ModelSpec& spec) { return spec.post_norms; }
bool WithoutPostNorms(const ModelSpec& spec) { return !spec.post_norms; }
bool WithQkvBias(const ModelSpec& spec) { return spec.qkv_bias; }
bool WithOutputBias(const ModelSpec& spec) { return spec.attention_output_bias; }
bool WithFfnBias(const ModelSpec& spec) { return spec.ffn_bias; }
bool WithQkNorm(const ModelSpec& spec) { return spec.qk_norm; }
constexpr LayerRow kLayerRows[] = {
    {"input_layernorm.weight", "attn_norm.weight", Always},
    {"self_attn.q_proj.weight", "attn_q.weight", Always},
    {"self_attn.k_proj.weight", "attn_k.weight", Always},
    {"self_attn.v_proj.weight", "attn_v.weight", Always},
    {"self_attn.o_proj.weight", "attn_output.weight", Always},
    {"mlp.gate_proj.weight", "ffn_gate.weight", Always},
    {"mlp.up_proj.weight", "ffn_up.weight", Always},
    {"mlp.down_proj.weight", "ffn_down.weight", Always},
    {"self_attn.q_proj.bias", "attn_q.bias", WithQkvBias},
    {"self_attn.k_proj.bias", "attn_k.bias", WithQkvBias},
    {"self_attn.v_proj.bias", "attn_v.bias", WithQkvBias},
    {"self_attn.o_proj.bias", "attn_output.bias", WithOutputBias},
    {"mlp.gate_proj.bias", "ffn_gate.bias", WithFfnBias},
    {"mlp.up_proj.bias", "ffn_up.bias", WithFfnBias},
    {"mlp.down_proj.bias", "ffn_down.bias", WithFfnBias},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", WithQkNorm},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", WithQkNorm},
    // One name for two things: the norm before the feed-forward, or after the attention.
    {"post_attention_layernorm.weight", "ffn_norm.weight", WithoutPostNorms},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", WithPostNorms},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", WithPostNorms},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", WithPostNorms},
};

bool SameBytes(const SafetensorsTensor& a, const SafetensorsTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape &&
         std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end());
}

Prefix FindPrefix(const HfTensorMap& map) {
  for (const Prefix& prefix : kPrefixes) {
    if (map.Find(absl::StrCat(std::string(prefix.decoder), "norm.weight")) != nullptr) {
      return prefix;
    }
  }
  return kPrefixes[0];
}

// The embedding table and the head. transformers ties the two in either direction, and unties
// them where a checkpoint has both and they differ.
absl::Status TakeTables(const Prefix& prefix, HfTensorMap& map, ModelSpec& spec) {
  const std::string table_name = absl::StrCat(std::string(prefix.decoder), "embed_tokens.weight");
  const std::string head_name(prefix.head);
  const SafetensorsTensor* const table = map.Find(table_name);
  const SafetensorsTensor* const head = map.Find(head_name);
  if (spec.tied_embeddings && head != nullptr && table != nullptr) {
    spec.tied_embeddings = SameBytes(*table, *head);
  }
  map.Ignore(head_name);
  if (!spec.tied_embeddings) RETURN_IF_ERROR(map.Take(head_name, "output.weight"));
  const bool only_head = spec.tied_embeddings && table == nullptr && head != nullptr;
  return map.Take(only_head ? head_name : table_name, "token_embd.weight");
}

absl::Status TakeLayer(const Prefix& prefix, int32_t layer, const ModelSpec& spec,
                       HfTensorMap& map) {
  for (const LayerRow& row : kLayerRows) {
    if (!row.is_part_of(spec)) continue;
    const std::string hf_name =
        absl::StrCat(std::string(prefix.decoder), "layers.", layer, ".", std::string(row.hf));
    std::string gguf_name = absl::StrCat("blk.", layer, ".", std::string(row.gguf));
    RETURN_IF_ERROR(map.Take(hf_name, std::move(gguf_name)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorSource>> MakeHfDecoderTensors(
    std::unique_ptr<SafetensorsSet> set, std::string_view config_text, ModelSpec& spec) {
  HfTensorMap map(std::move(set));
  const Prefix prefix = FindPrefix(map);
  RETURN_IF_ERROR(TakeTables(prefix, map, spec));
  RETURN_IF_ERROR(
      map.Take(absl::StrCat(std::string(prefix.decoder), "norm.weight"), "output_norm.weight"));
  for (int32_t layer = 0; layer < spec.layer_count; ++layer) {
    RETURN_IF_ERROR(TakeLayer(prefix, layer, spec, map));
  }
  return std::move(map).Finish(
      config_text, kOtherParts, kNeedless,
      absl::StrCat("a ", spec.architecture, " model of ", spec.layer_count, " layers"));
}

}  // namespace spillway
