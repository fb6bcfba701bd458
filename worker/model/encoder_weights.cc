#include "worker/model/encoder_weights.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/weight_packer.h"

namespace spillway {
namespace {

absl::Status LoadLayer(const EncoderSpec& spec, int32_t index, WeightPacker& packer,
                       EncoderLayerWeights& layer) {
  const int32_t hidden = spec.hidden_size;
  const int32_t inner = spec.intermediate_size;
  const auto name = [index](std::string_view part) {
    return absl::StrCat("blk.", index, ".", std::string(part));
  };
  const auto linear = [&](std::string_view part, int32_t outputs, int32_t inputs,
                          PackedMatrix& matrix, std::vector<float>& bias) -> absl::Status {
    RETURN_IF_ERROR(packer.AddMatrix(name(part) + ".weight", outputs, inputs, matrix));
    return packer.ReadVector(name(part) + ".bias", outputs, bias);
  };
  const auto norm = [&](std::string_view part, std::vector<float>& weight,
                        std::vector<float>& bias) -> absl::Status {
    RETURN_IF_ERROR(packer.ReadVector(name(part) + ".weight", hidden, weight));
    return packer.ReadVector(name(part) + ".bias", hidden, bias);
  };
  RETURN_IF_ERROR(linear("attn_q", hidden, hidden, layer.query, layer.query_bias));
  RETURN_IF_ERROR(linear("attn_k", hidden, hidden, layer.key, layer.key_bias));
  RETURN_IF_ERROR(linear("attn_v", hidden, hidden, layer.value, layer.value_bias));
  RETURN_IF_ERROR(linear("attn_output", hidden, hidden, layer.output, layer.output_bias));
  RETURN_IF_ERROR(norm("attn_output_norm", layer.attention_norm, layer.attention_norm_bias));
  RETURN_IF_ERROR(linear("ffn_up", inner, hidden, layer.up, layer.up_bias));
  RETURN_IF_ERROR(linear("ffn_down", hidden, inner, layer.down, layer.down_bias));
  return norm("layer_output_norm", layer.norm, layer.norm_bias);
}

}  // namespace

absl::StatusOr<EncoderWeights> EncoderWeights::Load(const EncoderSpec& spec,
                                                    const TensorSource& tensors, ThreadTeam& team) {
  EncoderWeights weights;
  WeightPacker packer(tensors);
  const int32_t hidden = spec.hidden_size;
  RETURN_IF_ERROR(
      packer.AddMatrix("token_embd.weight", spec.vocabulary_size, hidden, weights.words_));
  RETURN_IF_ERROR(
      packer.ReadRows("position_embd.weight", spec.position_count, hidden, weights.positions_));
  std::vector<float> types;
  RETURN_IF_ERROR(packer.ReadRows("token_types.weight", spec.token_type_count, hidden, types));
  RETURN_IF_ERROR(packer.ReadVector("token_embd_norm.weight", hidden, weights.norm_));
  RETURN_IF_ERROR(packer.ReadVector("token_embd_norm.bias", hidden, weights.norm_bias_));
  // A text by itself is all of the first type. Padding is zero in both.
  const size_t stride = weights.norm_.size();
  for (size_t i = 0; i < weights.positions_.size(); ++i) {
    weights.positions_[i] += types[i % stride];
  }
  weights.layers_.resize(static_cast<size_t>(spec.layer_count));
  for (int32_t i = 0; i < spec.layer_count; ++i) {
    RETURN_IF_ERROR(LoadLayer(spec, i, packer, weights.layers_[static_cast<size_t>(i)]));
  }
  ASSIGN_OR_RETURN(weights.memory_, packer.Pack(team));
  return weights;
}

}  // namespace spillway
