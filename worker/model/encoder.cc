#include "worker/model/encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/quantize.h"

namespace spillway {
namespace {

int32_t RoundUp(int32_t size) { return (size + kPanelOutputs - 1) / kPanelOutputs * kPanelOutputs; }

absl::StatusOr<HostBuffer> AllocateFloats(int64_t count) {
  return HostBuffer::Allocate(count * static_cast<int64_t>(sizeof(float)));
}

// Room for `rows` rows, in the forms that the layers' `matrices` read.
template <typename Matrices>
absl::StatusOr<Activations> AllocateInput(const EncoderWeights& weights, int32_t rows,
                                          int32_t columns, Matrices matrices) {
  bool quantized = false;
  bool floats = false;
  for (const EncoderLayerWeights& layer : weights.layers()) {
    for (const PackedMatrix* matrix : matrices(layer)) {
      (InfoOf(matrix->format).integer ? quantized : floats) = true;
    }
  }
  return Activations::Allocate(rows, columns, quantized, floats);
}

}  // namespace

Encoder::Encoder(const EncoderSpec& spec, const EncoderWeights& weights, int32_t tokens_max,
                 ThreadTeam& team, const CpuKernels& kernels)
    : spec_(spec),
      weights_(weights),
      tokens_max_(tokens_max),
      team_(team),
      kernels_(kernels),
      head_size_(spec.hidden_size / spec.head_count),
      hidden_stride_(RoundUp(spec.hidden_size)),
      inner_stride_(RoundUp(spec.intermediate_size)) {}

absl::StatusOr<std::unique_ptr<Encoder>> Encoder::Make(const EncoderSpec& spec,
                                                       const EncoderWeights& weights,
                                                       int32_t tokens_max, ThreadTeam& team,
                                                       const CpuKernels& kernels) {
  CHECK(tokens_max >= spec.text_tokens_max && spec.text_tokens_max <= spec.position_count);
  std::unique_ptr<Encoder> encoder(new Encoder(spec, weights, tokens_max, team, kernels));
  RETURN_IF_ERROR(encoder->Allocate());
  return encoder;
}

absl::Status Encoder::Allocate() {
  using Layer = const EncoderLayerWeights&;
  using Matrices = std::vector<const PackedMatrix*>;
  const int32_t hidden = spec_.hidden_size;
  ASSIGN_OR_RETURN(attention_input_,
                   AllocateInput(weights_, tokens_max_, hidden, [](Layer layer) -> Matrices {
                     return {&layer.query, &layer.key, &layer.value};
                   }));
  ASSIGN_OR_RETURN(output_input_,
                   AllocateInput(weights_, tokens_max_, hidden,
                                 [](Layer layer) -> Matrices { return {&layer.output}; }));
  ASSIGN_OR_RETURN(up_input_, AllocateInput(weights_, tokens_max_, hidden,
                                            [](Layer layer) -> Matrices { return {&layer.up}; }));
  ASSIGN_OR_RETURN(down_input_,
                   AllocateInput(weights_, tokens_max_, spec_.intermediate_size,
                                 [](Layer layer) -> Matrices { return {&layer.down}; }));
  const int64_t rows = tokens_max_;
  for (HostBuffer* buffer : {&hidden_, &queries_, &keys_, &values_, &attended_}) {
    ASSIGN_OR_RETURN(*buffer, AllocateFloats(rows * hidden_stride_));
  }
  ASSIGN_OR_RETURN(inner_, AllocateFloats(rows * inner_stride_));
  for (int32_t thread = 0; thread < team_.size(); ++thread) {
    ASSIGN_OR_RETURN(HostBuffer scratch,
                     AllocateFloats(TextAttentionScratch(spec_.text_tokens_max, head_size_)));
    scratch_.push_back(std::move(scratch));
  }
  texts_.reserve(static_cast<size_t>(tokens_max_));
  rows_.reserve(static_cast<size_t>(tokens_max_));
  return absl::OkStatus();
}

void Encoder::Forward(std::span<const std::span<const TokenId>> texts, float* vectors) {
  if (texts.empty()) return;
  PlanRows(texts);
  team_.Run([this, vectors](int32_t thread) { RunAll(thread, vectors); });
}

void Encoder::PlanRows(std::span<const std::span<const TokenId>> texts) {
  texts_.clear();
  rows_.clear();
  for (const std::span<const TokenId> text : texts) {
    const auto count = static_cast<int32_t>(text.size());
    CHECK(count > 0 && count <= spec_.text_tokens_max);
    texts_.push_back({.first_row = static_cast<int32_t>(rows_.size()), .token_count = count});
    for (int32_t i = 0; i < count; ++i) {
      const TokenId id = text[static_cast<size_t>(i)];
      CHECK(id >= 0 && id < spec_.vocabulary_size);
      rows_.push_back({.id = id, .position = i});
    }
  }
  CHECK(static_cast<int32_t>(rows_.size()) <= tokens_max_);
}

std::pair<int32_t, int32_t> Encoder::RowsOf(int32_t thread) const {
  const auto rows = static_cast<int32_t>(rows_.size());
  // Rows of one tile of QuantizedRows lie in the same cache lines: give out whole tiles.
  const auto [begin, end] = ShareOf(thread, team_.size(), (rows + kTileRows - 1) / kTileRows);
  return {begin * kTileRows, std::min(end * kTileRows, rows)};
}

void Encoder::RunAll(int32_t thread, float* vectors) {
  Embed(thread);
  for (const EncoderLayerWeights& layer : weights_.layers()) RunLayer(thread, layer);
  team_.Barrier();
  Pool(thread, vectors);
}

// Stages that go row by row have the same rows for a thread: no barrier stands between two.
void Encoder::RunLayer(int32_t thread, const EncoderLayerWeights& layer) {
  BeginAttention(thread, layer);
  team_.Barrier();
  MultiplyAdd(thread, layer.query, attention_input_, queries_, hidden_stride_);
  MultiplyAdd(thread, layer.key, attention_input_, keys_, hidden_stride_);
  MultiplyAdd(thread, layer.value, attention_input_, values_, hidden_stride_);
  team_.Barrier();
  Attend(thread);
  team_.Barrier();
  BeginOutput(thread, layer);
  team_.Barrier();
  MultiplyAdd(thread, layer.output, output_input_, hidden_, hidden_stride_);
  team_.Barrier();
  Norm(thread, layer.attention_norm, layer.attention_norm_bias);
  BeginUp(thread, layer);
  team_.Barrier();
  MultiplyAdd(thread, layer.up, up_input_, inner_, inner_stride_);
  team_.Barrier();
  BeginDown(thread, layer);
  team_.Barrier();
  MultiplyAdd(thread, layer.down, down_input_, hidden_, hidden_stride_);
  team_.Barrier();
  Norm(thread, layer.norm, layer.norm_bias);
}

void Encoder::Embed(int32_t thread) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    const Token& token = rows_[static_cast<size_t>(row)];
    float* const x = Row(hidden_, row, hidden_stride_);
    UnpackRow(weights_.words(), token.id, x);
    const float* const position =
        weights_.positions().data() + int64_t{token.position} * hidden_stride_;
    for (int32_t i = 0; i < spec_.hidden_size; ++i) x[i] += position[i];
  }
  Norm(thread, weights_.norm(), weights_.norm_bias());
}

void Encoder::BeginAttention(int32_t thread, const EncoderLayerWeights& layer) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    attention_input_.Put(kernels_, row, Row(hidden_, row, hidden_stride_));
    std::copy(layer.query_bias.begin(), layer.query_bias.end(), Row(queries_, row, hidden_stride_));
    std::copy(layer.key_bias.begin(), layer.key_bias.end(), Row(keys_, row, hidden_stride_));
    std::copy(layer.value_bias.begin(), layer.value_bias.end(), Row(values_, row, hidden_stride_));
  }
}

void Encoder::Attend(int32_t thread) {
  const int32_t heads = spec_.head_count;
  const auto units = static_cast<int32_t>(texts_.size()) * heads;
  const auto [begin, end] = ShareOf(thread, team_.size(), units);
  for (int32_t unit = begin; unit < end; ++unit) {
    const Text& text = texts_[static_cast<size_t>(unit / heads)];
    const int64_t at = int64_t{text.first_row} * hidden_stride_ + unit % heads * head_size_;
    kernels_.attend_text({.queries = queries_.As<float>() + at,
                          .keys = keys_.As<float>() + at,
                          .values = values_.As<float>() + at,
                          .stride = hidden_stride_,
                          .token_count = text.token_count,
                          .head_size = head_size_,
                          .scratch = scratch_[static_cast<size_t>(thread)].As<float>(),
                          .out = attended_.As<float>() + at,
                          .out_stride = hidden_stride_});
  }
}

void Encoder::BeginOutput(int32_t thread, const EncoderLayerWeights& layer) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    output_input_.Put(kernels_, row, Row(attended_, row, hidden_stride_));
    float* const x = Row(hidden_, row, hidden_stride_);
    for (int32_t i = 0; i < hidden_stride_; ++i) x[i] += layer.output_bias[static_cast<size_t>(i)];
  }
}

void Encoder::BeginUp(int32_t thread, const EncoderLayerWeights& layer) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    up_input_.Put(kernels_, row, Row(hidden_, row, hidden_stride_));
    std::copy(layer.up_bias.begin(), layer.up_bias.end(), Row(inner_, row, inner_stride_));
  }
}

void Encoder::BeginDown(int32_t thread, const EncoderLayerWeights& layer) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    float* const inner = Row(inner_, row, inner_stride_);
    kernels_.gelu(inner_stride_, inner);
    down_input_.Put(kernels_, row, inner);
    float* const x = Row(hidden_, row, hidden_stride_);
    for (int32_t i = 0; i < hidden_stride_; ++i) x[i] += layer.down_bias[static_cast<size_t>(i)];
  }
}

void Encoder::Norm(int32_t thread, const std::vector<float>& weight,
                   const std::vector<float>& bias) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    float* const x = Row(hidden_, row, hidden_stride_);
    kernels_.layer_norm(x, weight.data(), bias.data(), spec_.hidden_size, spec_.layer_norm_epsilon,
                        x);
  }
}

void Encoder::Pool(int32_t thread, float* vectors) {
  const auto size = static_cast<size_t>(spec_.hidden_size);
  const auto [begin, end] = ShareOf(thread, team_.size(), static_cast<int32_t>(texts_.size()));
  for (int32_t index = begin; index < end; ++index) {
    const Text& text = texts_[static_cast<size_t>(index)];
    const int32_t counted = spec_.pooling == EncoderSpec::Pooling::kMean ? text.token_count : 1;
    float* const out = vectors + static_cast<size_t>(index) * size;
    double squares = 0;
    for (size_t i = 0; i < size; ++i) {
      double sum = 0;
      for (int32_t row = 0; row < counted; ++row) {
        sum += Row(hidden_, text.first_row + row, hidden_stride_)[i];
      }
      out[i] = static_cast<float>(sum / counted);
      squares += double{out[i]} * out[i];
    }
    if (!spec_.normalize) continue;
    // As torch.nn.functional.normalize does, which has 1e-12 against a division by 0.
    const double scale = 1 / std::max(std::sqrt(squares), 1e-12);
    for (size_t i = 0; i < size; ++i) out[i] = static_cast<float>(out[i] * scale);
  }
}

void Encoder::MultiplyAdd(int32_t thread, const PackedMatrix& weight, Activations& input,
                          HostBuffer& out, int32_t stride) {
  const auto [begin, end] = ShareOf(thread, team_.size(), weight.panel_count());
  kernels_.mat_mul(weight, input.Input(static_cast<int32_t>(rows_.size())), begin, end,
                   {.values = out.As<float>(), .stride = stride, .add = true});
}

}  // namespace spillway
