#include "worker/cuda/cuda_decoder.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/cuda/device_uploader.h"
#include "worker/kernels/embedding_cuda.h"
#include "worker/kernels/gated_activation_cuda.h"
#include "worker/kernels/quantized_linear_cuda.h"
#include "worker/kernels/rms_norm_cuda.h"
#include "worker/kernels/rope.h"
#include "worker/kernels/rope_kv_cuda.h"
#include "worker/kernels/soft_cap_cuda.h"

namespace spillway {
namespace {

// Decode attention's scratch: 4,096 units are a million tokens in a step.
constexpr int32_t kUnitsMax = 4096;

bool HasLocalRope(const ModelSpec& spec) { return !spec.local_rope.frequencies.empty(); }

}  // namespace

int32_t CudaDecoder::UnitsMax(const CudaDecoderLimits& limits) {
  const int64_t each = (limits.positions_max + kSplitTokens - 1) / kSplitTokens;
  const int64_t units = std::max(each, std::min<int64_t>(kUnitsMax, each * limits.sequences_max));
  return static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(units)));
}

CudaDecoder::CudaDecoder(const ModelSpec& spec, const CudaDimensions& dimensions,
                         const CudaWeights* weights, const CudaDecoderLimits& limits)
    : spec_(spec),
      dimensions_(dimensions),
      weights_(weights),
      limits_(limits),
      units_max_(UnitsMax(limits)) {}

int32_t CudaDecoder::InputsMax() const {
  return std::max({dimensions_.hidden, dimensions_.query_size(), dimensions_.intermediate});
}

int64_t CudaDecoder::Arrange(std::byte* memory) {
  int64_t bytes = 0;
  const auto place = [&]<typename T>(T*& pointer, int64_t count) {
    pointer = memory == nullptr ? nullptr : reinterpret_cast<T*>(memory + bytes);
    bytes += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
  };
  const int64_t rows = ProductRows(limits_.rows_max);
  const int64_t head_rows = ProductRows(limits_.head_rows_max);
  const CudaDimensions& d = dimensions_;
  place(residual_, rows * d.hidden);
  place(normalized_, rows * d.hidden);
  place(qkv_, rows * d.qkv_size());
  place(queries_, rows * d.query_size());
  place(attended_, rows * d.query_size());
  place(delta_, rows * d.hidden);
  place(gate_up_, rows * 2 * d.intermediate);
  place(gated_, rows * d.intermediate);
  place(head_input_, head_rows * d.hidden);
  place(logits_, head_rows * d.vocabulary);
  place(partials_, int64_t{units_max_} * d.heads * (d.head_size + 2));
  for (const bool local : {false, true}) {
    if (local && !HasLocalRope(spec_)) continue;
    place(rope_tables_[local ? 1 : 0], int64_t{limits_.positions_max} * spec_.rope_size);
  }
  place(products_scratch_, MatrixProducts::ScratchBytes(InputsMax()));
  return bytes;
}

int64_t CudaDecoder::BytesFor(const ModelSpec& spec, const CudaDimensions& dimensions,
                              const CudaDecoderLimits& limits) {
  return CudaDecoder(spec, dimensions, nullptr, limits).Arrange(nullptr);
}

absl::StatusOr<std::unique_ptr<CudaDecoder>> CudaDecoder::Make(const ModelSpec& spec,
                                                               const CudaDimensions& dimensions,
                                                               const CudaWeights& weights,
                                                               const CudaDecoderLimits& limits,
                                                               DeviceGemm& gemm) {
  CHECK(limits.rows_max > 0 && limits.head_rows_max > 0 && limits.sequences_max > 0);
  CHECK(limits.positions_max > 0);
  std::unique_ptr<CudaDecoder> decoder(new CudaDecoder(spec, dimensions, &weights, limits));
  ASSIGN_OR_RETURN(decoder->memory_, DeviceBuffer<std::byte>::Allocate(decoder->Arrange(nullptr)));
  decoder->Arrange(decoder->memory_.data());
  decoder->products_ = std::make_unique<MatrixProducts>(gemm, weights.type(), decoder->InputsMax(),
                                                        decoder->products_scratch_);
  RETURN_IF_ERROR(decoder->FillRopeTables());
  return decoder;
}

absl::Status CudaDecoder::FillRopeTables() {
  ASSIGN_OR_RETURN(DeviceUploader uploader, DeviceUploader::Create());
  for (const bool local : {false, true}) {
    float* const table = rope_tables_[local ? 1 : 0];
    if (table == nullptr) continue;
    const std::vector<float> angles =
        MakeRopeTable(limits_.positions_max, local ? spec_.local_rope : spec_.rope);
    const int64_t row_bytes = int64_t{spec_.rope_size} * static_cast<int64_t>(sizeof(float));
    RETURN_IF_ERROR(uploader.Upload(reinterpret_cast<std::byte*>(table), limits_.positions_max,
                                    row_bytes, [&](int64_t first, int64_t count, std::byte* into) {
                                      std::copy_n(angles.data() + first * spec_.rope_size,
                                                  count * spec_.rope_size,
                                                  reinterpret_cast<float*>(into));
                                    }));
  }
  return uploader.Finish();
}

absl::Status CudaDecoder::Forward(const Stream& stream, const CudaStep& step,
                                  const int32_t* sampled) {
  CHECK(cache_ != nullptr);
  CHECK(step.rows <= limits_.rows_max && step.unit_count <= units_max_);
  CHECK(step.decode_count + step.prefill_count <= limits_.sequences_max);
  const CudaMatrix& table = weights_->embedding();
  const EmbeddingRows rows = {.rows = step.rows,
                              .columns = dimensions_.hidden,
                              .vocabulary = spec_.vocabulary_size,
                              .type = weights_->type(),
                              .scale = spec_.embedding_scale,
                              .table = table.halves,
                              .tokens = step.tokens,
                              .sampled = sampled,
                              .residual = residual_};
  RETURN_IF_ERROR(table.halves != nullptr ? EmbeddingCuda(stream, rows)
                                          : QuantizedEmbeddingCuda(stream, rows, table.quantized));
  for (int32_t index = 0; index < spec_.layer_count; ++index) {
    RETURN_IF_ERROR(RunLayer(stream, step, index));
  }
  return absl::OkStatus();
}

absl::Status CudaDecoder::RunLayer(const Stream& stream, const CudaStep& step, int32_t index) {
  const CudaLayerWeights& layer = weights_->layers()[static_cast<size_t>(index)];
  const bool local_rope = spec_.IsLocal(index) && HasLocalRope(spec_);
  RETURN_IF_ERROR(Normalize(stream, step.rows, BranchBefore(index), layer.attention_norm,
                            /*sources=*/nullptr, normalized_));
  RETURN_IF_ERROR(products_->Run(stream, layer.qkv, normalized_, step.rows, qkv_, nullptr));
  RETURN_IF_ERROR(RopeKvCuda(stream, {.rows = step.rows,
                                      .heads = dimensions_.heads,
                                      .rope_size = spec_.rope_size,
                                      .qkv = qkv_,
                                      .bias = layer.qkv_bias,
                                      .query_norm = layer.query_norm,
                                      .key_norm = layer.key_norm,
                                      .norm_epsilon = spec_.rms_norm_epsilon,
                                      .norm_size = spec_.head_size,
                                      .angles = rope_tables_[local_rope ? 1 : 0],
                                      .positions = step.positions,
                                      .sequences = step.sequences,
                                      .table = step.table,
                                      .kv = cache_->layer(index),
                                      .queries = queries_}));
  RETURN_IF_ERROR(Attend(stream, step, index));
  RETURN_IF_ERROR(products_->Run(stream, layer.output, attended_, step.rows, delta_, nullptr));
  RETURN_IF_ERROR(
      Normalize(stream, step.rows,
                {.any = true, .bias = layer.output_bias, .norm = layer.attention_post_norm},
                layer.ffn_norm, /*sources=*/nullptr, normalized_));
  RETURN_IF_ERROR(products_->Run(stream, layer.gate_up, normalized_, step.rows, gate_up_, nullptr));
  RETURN_IF_ERROR(GatedActivationCuda(stream, {.rows = step.rows,
                                               .columns = dimensions_.intermediate,
                                               .type = weights_->type(),
                                               .activation = spec_.activation,
                                               .gate_up = gate_up_,
                                               .bias = layer.gate_up_bias,
                                               .out = gated_}));
  return products_->Run(stream, layer.down, gated_, step.rows, delta_, nullptr);
}

absl::Status CudaDecoder::Attend(const Stream& stream, const CudaStep& step, int32_t index) {
  const AttentionScoring scoring = {
      .scale = spec_.attention_scale != 0 ? spec_.attention_scale
                                          : 1.0f / std::sqrt(static_cast<float>(spec_.head_size)),
      .soft_cap = spec_.attention_soft_cap,
      .window = spec_.IsLocal(index) ? spec_.sliding_window : 0,
      .head_size = spec_.head_size};
  const PagedKvCuda kv = cache_->layer(index);
  if (step.decode_count > 0) {
    RETURN_IF_ERROR(DecodeAttentionCuda(stream, {.sequences = step.decode_count,
                                                 .heads = dimensions_.heads,
                                                 .scoring = scoring,
                                                 .kv = kv,
                                                 .table = step.table,
                                                 .lengths = step.lengths,
                                                 .queries = queries_,
                                                 .out = attended_,
                                                 .split_tokens = kSplitTokens,
                                                 .unit_count = step.unit_count,
                                                 .units = step.units,
                                                 .first_units = step.first_units,
                                                 .partials = partials_}));
  }
  if (step.prefill_count == 0) return absl::OkStatus();
  BlockTableCuda table = step.table;
  table.begins += step.decode_count;
  return PrefillAttentionCuda(stream, {.sequences = step.prefill_count,
                                       .heads = dimensions_.heads,
                                       .count_max = step.prefill_rows_max,
                                       .scoring = scoring,
                                       .kv = kv,
                                       .table = table,
                                       .row_begins = step.row_begins,
                                       .lengths = step.lengths + step.decode_count,
                                       .queries = queries_,
                                       .out = attended_});
}

CudaDecoder::Branch CudaDecoder::BranchBefore(int32_t index) const {
  if (index == 0) return {};
  const CudaLayerWeights& layer = weights_->layers()[static_cast<size_t>(index - 1)];
  return {.any = true, .bias = layer.down_bias, .norm = layer.ffn_post_norm};
}

absl::Status CudaDecoder::Normalize(const Stream& stream, int32_t rows, const Branch& branch,
                                    const float* weight, const int32_t* sources, uint16_t* out) {
  return RmsNormCuda(stream, {.rows = rows,
                              .columns = dimensions_.hidden,
                              .type = weights_->type(),
                              .epsilon = spec_.rms_norm_epsilon,
                              .sources = sources,
                              .residual = residual_,
                              .delta = branch.any ? delta_ : nullptr,
                              .delta_bias = branch.bias,
                              .delta_norm = branch.norm,
                              .weight = weight,
                              .out = out});
}

absl::Status CudaDecoder::ComputeLogits(const Stream& stream, const int32_t* rows, int32_t count) {
  CHECK(count <= limits_.head_rows_max);
  RETURN_IF_ERROR(Normalize(stream, count, BranchBefore(spec_.layer_count), weights_->output_norm(),
                            rows, head_input_));
  RETURN_IF_ERROR(products_->Run(stream, weights_->head(), head_input_, count, nullptr, logits_));
  if (spec_.logit_soft_cap <= 0) return absl::OkStatus();
  return SoftCapCuda(stream, spec_.logit_soft_cap, int64_t{count} * dimensions_.vocabulary,
                     logits_);
}

}  // namespace spillway
