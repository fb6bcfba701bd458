#include "worker/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kSplitTokens = kAttentionSplitBlocks * kKvBlockTokens;

// In whole panels of 16 outputs, as matrix products write.
int32_t InPanels(int32_t size) {
  return (size + kPanelOutputs - 1) / kPanelOutputs * kPanelOutputs;
}

absl::StatusOr<HostBuffer> AllocateFloats(int64_t count) {
  return HostBuffer::Allocate(count * static_cast<int64_t>(sizeof(float)));
}

// In which forms activations are read.
struct Forms {
  bool quantized = false;
  bool floats = false;

  void AddReader(const PackedMatrix& weight) {
    (InfoOf(weight.format).integer ? quantized : floats) = true;
  }
};

}  // namespace

Decoder::LayerKind::LayerKind(const ModelSpec& spec, bool local, int32_t thread_count)
    : scoring({.scale = spec.attention_scale != 0
                            ? spec.attention_scale
                            : 1.0f / std::sqrt(static_cast<float>(spec.head_size)),
               .soft_cap = spec.attention_soft_cap,
               .window = local ? spec.sliding_window : 0,
               .head_size = spec.head_size}),
      rope(local && !spec.local_rope.frequencies.empty() ? &spec.local_rope : &spec.rope),
      plan(spec.kv_head_count, spec.head_count / spec.kv_head_count, thread_count, scoring.window) {
}

Decoder::Decoder(const ModelSpec& spec, const ModelWeights& weights, const DecoderLimits& limits,
                 KvCache& cache, ThreadTeam& team, const CpuKernels& kernels)
    : spec_(spec),
      weights_(weights),
      limits_(limits),
      cache_(cache),
      team_(team),
      kernels_(kernels),
      hidden_stride_(InPanels(spec.hidden_size)),
      group_(spec.head_count / spec.kv_head_count),
      query_size_(spec.head_count * spec.head_size),
      key_column_(InPanels(query_size_)),
      value_column_(key_column_ + InPanels(spec.kv_head_count * spec.head_size)),
      qkv_stride_(2 * value_column_ - key_column_),
      padded_head_size_(cache.layer(0).head_size),
      splits_max_((limits.positions_max + kSplitTokens - 1) / kSplitTokens),
      logits_stride_(int64_t{weights.head().panel_count()} * kPanelOutputs) {
  const bool any_local = std::ranges::find(spec.local_layers, true) != spec.local_layers.end();
  for (const bool local : {false, true}) {
    if (!local || any_local) kinds_.emplace_back(spec, local, team.size());
  }
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Make(const ModelSpec& spec,
                                                       const ModelWeights& weights,
                                                       const DecoderLimits& limits, KvCache& cache,
                                                       ThreadTeam& team,
                                                       const CpuKernels& kernels) {
  CHECK(limits.tokens_max > 0 && limits.slices_max > 0 && limits.positions_max > 0);
  std::unique_ptr<Decoder> decoder(new Decoder(spec, weights, limits, cache, team, kernels));
  RETURN_IF_ERROR(decoder->Allocate());
  return decoder;
}

absl::Status Decoder::Allocate() {
  Forms attention, output, ffn, down, head;
  for (const LayerWeights& layer : weights_.layers()) {
    attention.AddReader(layer.query);
    attention.AddReader(layer.key);
    attention.AddReader(layer.value);
    output.AddReader(layer.output);
    ffn.AddReader(layer.gate);
    ffn.AddReader(layer.up);
    down.AddReader(layer.down);
  }
  head.AddReader(weights_.head());
  const auto activations = [](int32_t rows, int32_t columns, const Forms& forms) {
    return Activations::Allocate(rows, columns, forms.quantized, forms.floats);
  };
  const int32_t rows = limits_.tokens_max;
  const int64_t state_size = AttentionStateSize(padded_head_size_);
  ASSIGN_OR_RETURN(attention_input_, activations(rows, spec_.hidden_size, attention));
  ASSIGN_OR_RETURN(output_input_, activations(rows, query_size_, output));
  ASSIGN_OR_RETURN(ffn_input_, activations(rows, spec_.hidden_size, ffn));
  ASSIGN_OR_RETURN(down_input_, activations(rows, spec_.intermediate_size, down));
  ASSIGN_OR_RETURN(head_input_, activations(limits_.slices_max, spec_.hidden_size, head));
  ASSIGN_OR_RETURN(hidden_, AllocateFloats(int64_t{rows} * hidden_stride_));
  if (spec_.post_norms) {
    ASSIGN_OR_RETURN(branch_, AllocateFloats(int64_t{rows} * hidden_stride_));
  }
  ASSIGN_OR_RETURN(qkv_, AllocateFloats(int64_t{rows} * qkv_stride_));
  ASSIGN_OR_RETURN(attended_, AllocateFloats(int64_t{rows} * query_size_));
  ASSIGN_OR_RETURN(partial_states_, AllocateFloats(int64_t{limits_.slices_max} * splits_max_ *
                                                   spec_.head_count * state_size));
  ASSIGN_OR_RETURN(logits_, AllocateFloats(limits_.slices_max * logits_stride_));
  for (LayerKind& kind : kinds_) {
    ASSIGN_OR_RETURN(kind.angles, AllocateFloats(int64_t{rows} * spec_.rope_size));
  }
  for (int32_t thread = 0; thread < team_.size(); ++thread) {
    // A normalised row, or the states of two attention splits; never both at once.
    ASSIGN_OR_RETURN(HostBuffer scratch,
                     AllocateFloats(std::max<int64_t>(
                         hidden_stride_, int64_t{2} * kAttentionQueriesMax * state_size)));
    scratch_.push_back(std::move(scratch));
  }
  return absl::OkStatus();
}

void Decoder::Forward(std::span<const DecoderSlice> slices) {
  PlanRows(slices);
  if (rows_.empty()) return;
  team_.Run([this](int32_t thread) { RunAll(thread); });
}

void Decoder::PlanRows(std::span<const DecoderSlice> slices) {
  CHECK(static_cast<int32_t>(slices.size()) <= limits_.slices_max);
  slices_ = slices;
  rows_.clear();
  first_rows_.clear();
  logits_rows_.clear();
  attention_slices_.clear();
  for (size_t i = 0; i < slices.size(); ++i) {
    const DecoderSlice& slice = slices[i];
    const auto count = static_cast<int32_t>(slice.tokens.size());
    CHECK(count > 0 && slice.begin >= 0 && slice.begin + count <= limits_.positions_max);
    CHECK(static_cast<int64_t>(slice.blocks.size()) * kKvBlockTokens >= slice.begin + count);
    for (const int32_t block : slice.blocks) CHECK(block >= 0 && block < cache_.block_count());
    first_rows_.push_back(static_cast<int32_t>(rows_.size()));
    attention_slices_.push_back({.begin = slice.begin, .count = count});
    for (int32_t j = 0; j < count; ++j) {
      const TokenId token = slice.tokens[static_cast<size_t>(j)];
      CHECK(token >= 0 && token < spec_.vocabulary_size);
      rows_.push_back({static_cast<int32_t>(i), slice.begin + j, token});
    }
    if (slice.logits) logits_rows_.push_back(static_cast<int32_t>(rows_.size()) - 1);
  }
  CHECK(static_cast<int32_t>(rows_.size()) <= limits_.tokens_max);
  for (LayerKind& kind : kinds_) {
    kind.plan.Build(attention_slices_);
    kind.partial_rows.assign(rows_.size(), -1);
    const std::span<const AttentionPlan::PartialRow> partial_rows = kind.plan.partial_rows();
    for (size_t i = 0; i < partial_rows.size(); ++i) {
      const int32_t row = first_rows_[static_cast<size_t>(partial_rows[i].slice)];
      kind.partial_rows[static_cast<size_t>(row)] = static_cast<int32_t>(i);
    }
  }
}

void Decoder::ComputeLogits(std::span<const int32_t> rows) {
  CHECK(static_cast<int32_t>(rows.size()) <= limits_.slices_max);
  for (const int32_t row : rows) CHECK(row >= 0 && row < static_cast<int32_t>(rows_.size()));
  logits_rows_.assign(rows.begin(), rows.end());
  if (rows.empty()) return;
  team_.Run([this](int32_t thread) { Head(thread); });
}

std::span<float> Decoder::logits(int32_t index) {
  CHECK(index >= 0 && index < static_cast<int32_t>(logits_rows_.size()));
  return {logits_.As<float>() + index * logits_stride_, static_cast<size_t>(spec_.vocabulary_size)};
}

}  // namespace spillway
