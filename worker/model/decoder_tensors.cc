#include "worker/model/decoder_tensors.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/quantize.h"

namespace spillway {
namespace {

// What whoever made the spec guarantees.
void CheckSpec(const ModelSpec& spec) {
  CHECK(spec.head_size <= kHeadSizeMax && spec.rope_size <= spec.head_size);
  CHECK(spec.head_count % spec.kv_head_count == 0);
  CHECK(spec.rope.frequencies.size() * 2 == static_cast<size_t>(spec.rope_size));
  CHECK(spec.local_rope.frequencies.empty() ||
        spec.local_rope.frequencies.size() == spec.rope.frequencies.size());
  CHECK(spec.local_layers.empty() ||
        spec.local_layers.size() == static_cast<size_t>(spec.layer_count));
}

// Where each row of a projection to `heads` heads comes from, so that a rotated pair (2i, 2i + 1)
// becomes (i, i + rope_size / 2).
std::vector<int32_t> HalvesOrder(const ModelSpec& spec, int32_t heads) {
  std::vector<int32_t> order;
  for (int32_t head = 0; head < heads; ++head) {
    for (int32_t i = 0; i < spec.head_size; ++i) {
      const int32_t half = spec.rope_size / 2;
      const int32_t within = i < half ? 2 * i : i < spec.rope_size ? 2 * (i - half) + 1 : i;
      order.push_back(head * spec.head_size + within);
    }
  }
  return order;
}

class Finder {
 public:
  Finder(const ModelSpec& spec, const TensorSource& tensors) : spec_(spec), tensors_(tensors) {}

  absl::Status Find(DecoderTensors& found) {
    CheckSpec(spec_);
    RETURN_IF_ERROR(
        FindMatrix("token_embd.weight", spec_.vocabulary_size, spec_.hidden_size, found.embedding));
    RETURN_IF_ERROR(FindNorm("output_norm.weight", {.size = spec_.hidden_size}, found.output_norm));
    found.head = found.embedding;
    if (!spec_.tied_embeddings) {
      RETURN_IF_ERROR(
          FindMatrix("output.weight", spec_.vocabulary_size, spec_.hidden_size, found.head));
    }
    found.layers.resize(static_cast<size_t>(spec_.layer_count));
    for (int32_t i = 0; i < spec_.layer_count; ++i) {
      RETURN_IF_ERROR(FindLayer(i, found.layers[static_cast<size_t>(i)]));
    }
    return absl::OkStatus();
  }

 private:
  struct Vector {
    int32_t size = 0;
    std::span<const int32_t> order = {};  // element i comes from order[i]; empty: from i
  };

  static std::string Name(int32_t layer, std::string_view part, std::string_view kind = "weight") {
    return absl::StrCat("blk.", layer, ".", std::string(part), ".", std::string(kind));
  }

  absl::Status FindLayer(int32_t index, LayerTensors& layer) {
    const auto name = [&](std::string_view part) { return Name(index, part); };
    const int32_t hidden = spec_.hidden_size;
    const int32_t query_size = spec_.head_count * spec_.head_size;
    const int32_t kv_size = spec_.kv_head_count * spec_.head_size;
    std::vector<int32_t> query_order, key_order;
    if (spec_.rope_layout == ModelSpec::RopeLayout::kInterleaved) {
      query_order = HalvesOrder(spec_, spec_.head_count);
      key_order = HalvesOrder(spec_, spec_.kv_head_count);
    }
    RETURN_IF_ERROR(FindNorm(name("attn_norm"), {.size = hidden}, layer.attention_norm));
    RETURN_IF_ERROR(FindMatrix(name("attn_q"), query_size, hidden, layer.query, query_order));
    RETURN_IF_ERROR(FindMatrix(name("attn_k"), kv_size, hidden, layer.key, key_order));
    RETURN_IF_ERROR(FindMatrix(name("attn_v"), kv_size, hidden, layer.value));
    RETURN_IF_ERROR(FindMatrix(name("attn_output"), hidden, query_size, layer.output));
    RETURN_IF_ERROR(FindNorm(name("ffn_norm"), {.size = hidden}, layer.ffn_norm));
    RETURN_IF_ERROR(FindMatrix(name("ffn_gate"), spec_.intermediate_size, hidden, layer.gate));
    RETURN_IF_ERROR(FindMatrix(name("ffn_up"), spec_.intermediate_size, hidden, layer.up));
    RETURN_IF_ERROR(FindMatrix(name("ffn_down"), hidden, spec_.intermediate_size, layer.down));
    RETURN_IF_ERROR(FindBiases(index, query_order, key_order, layer));
    return FindExtraNorms(index, layer);
  }

  absl::Status FindBiases(int32_t index, std::span<const int32_t> query_order,
                          std::span<const int32_t> key_order, LayerTensors& layer) {
    const struct {
      std::string_view part;
      Vector shape;
      bool required;
      std::vector<float>& bias;
    } biases[] = {
        {"attn_q", {layer.query.outputs, query_order}, spec_.qkv_bias, layer.query_bias},
        {"attn_k", {layer.key.outputs, key_order}, spec_.qkv_bias, layer.key_bias},
        {"attn_v", {layer.value.outputs}, spec_.qkv_bias, layer.value_bias},
        {"attn_output", {layer.output.outputs}, spec_.attention_output_bias, layer.output_bias},
        {"ffn_gate", {layer.gate.outputs}, spec_.ffn_bias, layer.gate_bias},
        {"ffn_up", {layer.up.outputs}, spec_.ffn_bias, layer.up_bias},
        {"ffn_down", {layer.down.outputs}, spec_.ffn_bias, layer.down_bias},
    };
    for (const auto& [part, shape, required, bias] : biases) {
      const std::string name = Name(index, part, "bias");
      if (!required && tensors_.FindTensor(name) == nullptr) continue;
      RETURN_IF_ERROR(FindVector(name, shape, bias));
    }
    const size_t gate_size = std::max(layer.gate_bias.size(), layer.up_bias.size());
    layer.gate_bias.resize(gate_size);
    layer.up_bias.resize(gate_size);
    return absl::OkStatus();
  }

  absl::Status FindExtraNorms(int32_t index, LayerTensors& layer) {
    if (spec_.qk_norm) {
      std::vector<int32_t> order;
      if (spec_.rope_layout == ModelSpec::RopeLayout::kInterleaved) order = HalvesOrder(spec_, 1);
      const Vector shape = {spec_.head_size, order};
      RETURN_IF_ERROR(FindNorm(Name(index, "attn_q_norm"), shape, layer.query_norm));
      RETURN_IF_ERROR(FindNorm(Name(index, "attn_k_norm"), shape, layer.key_norm));
    }
    if (!spec_.post_norms) return absl::OkStatus();
    const Vector shape = {.size = spec_.hidden_size};
    RETURN_IF_ERROR(FindNorm(Name(index, "post_attention_norm"), shape, layer.attention_post_norm));
    return FindNorm(Name(index, "post_ffw_norm"), shape, layer.ffn_post_norm);
  }

  absl::StatusOr<const ModelTensor*> FindTensor(const std::string& name,
                                                const std::vector<int64_t>& dims) {
    const ModelTensor* const tensor = tensors_.FindTensor(name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("the file has no tensor ", name));
    }
    if (tensor->dims != dims) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, " has shape [", absl::StrJoin(tensor->dims, ", "),
                       "], its model's is [", absl::StrJoin(dims, ", "), "]"));
    }
    return tensor;
  }

  absl::Status FindVector(const std::string& name, const Vector& shape,
                          std::vector<float>& vector) {
    ASSIGN_OR_RETURN(const ModelTensor* const tensor, FindTensor(name, {shape.size}));
    const WeightFormat format = WeightFormatOf(tensor->type);
    if (InfoOf(format).integer) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", name, " has type ",
                                                     std::string(TensorTypeName(tensor->type)),
                                                     "; a norm or a bias is F32, F16 or BF16"));
    }
    std::vector<float> values(static_cast<size_t>(shape.size));
    DequantizeRowReference(format, tensor->data.data(), shape.size, values.data());
    vector.assign((values.size() + kQuantBlock - 1) / kQuantBlock * kQuantBlock, 0.0f);
    for (size_t i = 0; i < values.size(); ++i) {
      vector[i] = values[shape.order.empty() ? i : static_cast<size_t>(shape.order[i])];
    }
    return absl::OkStatus();
  }

  absl::Status FindNorm(const std::string& name, const Vector& shape, std::vector<float>& norm) {
    RETURN_IF_ERROR(FindVector(name, shape, norm));
    for (size_t i = 0; i < static_cast<size_t>(shape.size); ++i) norm[i] += spec_.norm_offset;
    return absl::OkStatus();
  }

  absl::Status FindMatrix(const std::string& name, int32_t outputs, int32_t inputs,
                          MatrixTensor& matrix, std::vector<int32_t> row_order = {}) {
    ASSIGN_OR_RETURN(const ModelTensor* const tensor, FindTensor(name, {inputs, outputs}));
    matrix = {
        .tensor = tensor, .outputs = outputs, .inputs = inputs, .row_order = std::move(row_order)};
    CHECK(static_cast<int64_t>(tensor->data.size()) ==
          outputs * SourceRowBytes(matrix.format(), inputs));
    return absl::OkStatus();
  }

  const ModelSpec& spec_;
  const TensorSource& tensors_;
};

}  // namespace

absl::StatusOr<DecoderTensors> DecoderTensors::Find(const ModelSpec& spec,
                                                    const TensorSource& tensors) {
  DecoderTensors found;
  RETURN_IF_ERROR(Finder(spec, tensors).Find(found));
  return found;
}

}  // namespace spillway
