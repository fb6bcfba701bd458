#include "worker/model/hf_tensors.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/printable_name.h"

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
constexpr std::string_view kNeedless = "rotary_emb.inv_freq";

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

}  // namespace

// Fills an HfTensors name by name.
class HfTensors::Mapper {
 public:
  Mapper(const SafetensorsSet& set, HfTensors& to) : set_(set), to_(to) {}

  absl::Status Map(ModelSpec& spec) {
    const Prefix prefix = FindPrefix();
    RETURN_IF_ERROR(MapTable(prefix, spec));
    RETURN_IF_ERROR(
        Take(absl::StrCat(std::string(prefix.decoder), "norm.weight"), "output_norm.weight"));
    for (int32_t layer = 0; layer < spec.layer_count; ++layer) {
      for (const LayerRow& row : kLayerRows) {
        if (!row.is_part_of(spec)) continue;
        RETURN_IF_ERROR(Take(
            absl::StrCat(std::string(prefix.decoder), "layers.", layer, ".", std::string(row.hf)),
            absl::StrCat("blk.", layer, ".", std::string(row.gguf))));
      }
    }
    return RefuseOthers(spec);
  }

 private:
  Prefix FindPrefix() const {
    for (const Prefix& prefix : kPrefixes) {
      const std::string norm = absl::StrCat(std::string(prefix.decoder), "norm.weight");
      if (set_.FindTensor(norm) != nullptr) return prefix;
    }
    return kPrefixes[0];
  }

  // The embedding table and the head. transformers ties the two in either direction, and unties
  // them where a checkpoint has both and they differ.
  absl::Status MapTable(const Prefix& prefix, ModelSpec& spec) {
    const std::string table_name = absl::StrCat(std::string(prefix.decoder), "embed_tokens.weight");
    const std::string head_name(prefix.head);
    const SafetensorsTensor* const table = set_.FindTensor(table_name);
    const SafetensorsTensor* const head = set_.FindTensor(head_name);
    if (spec.tied_embeddings && head != nullptr && table != nullptr) {
      spec.tied_embeddings = SameBytes(*table, *head);
    }
    taken_.insert(head_name);
    if (!spec.tied_embeddings) RETURN_IF_ERROR(Take(head_name, "output.weight"));
    const bool only_head = spec.tied_embeddings && table == nullptr && head != nullptr;
    return Take(only_head ? head_name : table_name, "token_embd.weight");
  }

  absl::Status Take(const std::string& hf_name, std::string gguf_name) {
    const SafetensorsTensor* const tensor = set_.FindTensor(hf_name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("there is no tensor ", hf_name));
    }
    if (!tensor->type.has_value()) {
      return absl::UnimplementedError(
          absl::StrCat("tensor ", hf_name, " has the dtype ", tensor->dtype,
                       "; this build runs BF16, F16 and F32 of safetensors"));
    }
    taken_.insert(hf_name);
    ModelTensor mapped{.name = hf_name, .type = *tensor->type, .data = tensor->data};
    mapped.dims.assign(tensor->shape.rbegin(), tensor->shape.rend());
    to_.tensors_.emplace(std::move(gguf_name), std::move(mapped));
    return absl::OkStatus();
  }

  absl::Status RefuseOthers(const ModelSpec& spec) const {
    for (const auto& [name, tensor] : set_.tensors()) {
      const bool other_part =
          std::any_of(std::begin(kOtherParts), std::end(kOtherParts),
                      [&](std::string_view part) { return name.starts_with(part); });
      if (other_part || name.ends_with(kNeedless) || taken_.contains(name)) continue;
      return absl::UnimplementedError(absl::StrCat(
          "tensor ", PrintableName(name), " (", tensor->dtype, ") is no part of a ",
          spec.architecture, " model of ", spec.layer_count, " layers as this build runs it"));
    }
    return absl::OkStatus();
  }

  const SafetensorsSet& set_;
  HfTensors& to_;
  std::set<std::string, std::less<>> taken_;
};

absl::StatusOr<std::unique_ptr<HfTensors>> HfTensors::Make(std::unique_ptr<SafetensorsSet> set,
                                                           std::string_view config_text,
                                                           ModelSpec& spec) {
  std::unique_ptr<HfTensors> tensors(new HfTensors());
  RETURN_IF_ERROR(Mapper(*set, *tensors).Map(spec));
  Sha256 hash;
  hash.AddText(config_text);
  set->AddTo(hash);
  tensors->hash_ = hash.HexDigest();
  tensors->set_ = std::move(set);
  return tensors;
}

const ModelTensor* HfTensors::FindTensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace spillway
