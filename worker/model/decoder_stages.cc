// The stages of Decoder's forward pass: what each thread does between two barriers.

#include <algorithm>

#include "worker/kernels/numerics.h"
#include "worker/model/decoder.h"

namespace spillway {
namespace {

constexpr int32_t kSplitTokens = kAttentionSplitBlocks * kKvBlockTokens;

void AddTo(float* x, const float* y, int32_t count) {
  for (int32_t i = 0; i < count; ++i) x[i] += y[i];
}

// A head with zeros after its last element, as the kernels want those whose size isn't a multiple
// of 16.
struct PaddedHead {
  PaddedHead(const float* head, int32_t size, int32_t padded_size) {
    std::fill(std::copy_n(head, size, values), values + padded_size, 0.0f);
  }
  alignas(64) float values[kHeadSizeMax];
};

}  // namespace

std::pair<int32_t, int32_t> Decoder::RowsOf(int32_t thread) const {
  const auto rows = static_cast<int32_t>(rows_.size());
  // Rows of one tile of QuantizedRows lie in the same cache lines: give out tiles if there are
  // enough.
  if (rows < team_.size() * kTileRows) return ShareOf(thread, team_.size(), rows);
  const auto [begin, end] = ShareOf(thread, team_.size(), (rows + kTileRows - 1) / kTileRows);
  return {begin * kTileRows, std::min(end * kTileRows, rows)};
}

void Decoder::RunAll(int32_t thread) {
  Embed(thread);
  team_.Barrier();
  for (int32_t index = 0; index < spec_.layer_count; ++index) RunLayer(thread, index);
  Head(thread);
}

void Decoder::RunLayer(int32_t thread, int32_t index) {
  const LayerWeights& layer = weights_.layers()[static_cast<size_t>(index)];
  const LayerKind& kind = KindOf(index);
  const KvLayer kv = cache_.layer(index);
  Normalize(thread, EndBefore(index), layer.attention_norm, attention_input_);
  team_.Barrier();
  ProjectQkv(thread, layer);
  team_.Barrier();
  RotateAndStore(thread, layer, kind, kv);
  team_.Barrier();
  Attend(thread, kind, kv);
  team_.Barrier();
  MergeSplits(thread, kind);
  team_.Barrier();
  MultiplyBranch(thread, layer.output, output_input_);
  team_.Barrier();
  Normalize(thread, {layer.output_bias, layer.attention_post_norm}, layer.ffn_norm, ffn_input_);
  team_.Barrier();
  Gate(thread, layer);
  team_.Barrier();
  MultiplyBranch(thread, layer.down, down_input_);
  team_.Barrier();
}
void Decoder::Embed(int32_t thread) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    float* const hidden = hidden_.As<float>() + int64_t{row} * hidden_stride_;
    UnpackRow(weights_.embedding(), rows_[static_cast<size_t>(row)].token, hidden);
    for (LayerKind& kind : kinds_) {
      RopeAngles(*kind.rope, rows_[static_cast<size_t>(row)].position,
                 kind.angles.As<float>() + int64_t{row} * spec_.rope_size);
    }
    if (spec_.embedding_scale == 1) continue;
    for (int32_t i = 0; i < spec_.hidden_size; ++i) hidden[i] *= spec_.embedding_scale;
  }
}

Decoder::BranchEnd Decoder::EndBefore(int32_t index) const {
  if (index == 0) return {};
  const LayerWeights& layer = weights_.layers()[static_cast<size_t>(index - 1)];
  return {.bias = layer.down_bias, .post_norm = layer.ffn_post_norm};
}

void Decoder::EndBranch(int32_t row, const BranchEnd& end) {
  float* const hidden = hidden_.As<float>() + int64_t{row} * hidden_stride_;
  if (end.post_norm.empty()) {
    if (!end.bias.empty()) AddTo(hidden, end.bias.data(), spec_.hidden_size);
    return;
  }
  float* const branch = branch_.As<float>() + int64_t{row} * hidden_stride_;
  if (!end.bias.empty()) AddTo(branch, end.bias.data(), spec_.hidden_size);
  kernels_.rms_norm(branch, end.post_norm.data(), spec_.hidden_size, spec_.rms_norm_epsilon,
                    branch);
  AddTo(hidden, branch, spec_.hidden_size);
}

void Decoder::Normalize(int32_t thread, const BranchEnd& before, const std::vector<float>& weight,
                        Activations& out) {
  float* const normalized = scratch_[static_cast<size_t>(thread)].As<float>();
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    EndBranch(row, before);
    kernels_.rms_norm(hidden_.As<float>() + int64_t{row} * hidden_stride_, weight.data(),
                      spec_.hidden_size, spec_.rms_norm_epsilon, normalized);
    out.Put(kernels_, row, normalized);
  }
}

// The panels of the three matrices count as those of one.
void Decoder::ProjectQkv(int32_t thread, const LayerWeights& layer) {
  const MatMulInput input = attention_input_.Input(static_cast<int32_t>(rows_.size()));
  const PackedMatrix* const matrices[] = {&layer.query, &layer.key, &layer.value};
  const int32_t columns[] = {0, key_column_, value_column_};
  const auto [begin, end] = ShareOf(thread, team_.size(), qkv_stride_ / kPanelOutputs);
  int32_t before = 0;
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t panels = matrices[i]->panel_count();
    const int32_t first = std::clamp(begin - before, 0, panels);
    const int32_t last = std::clamp(end - before, 0, panels);
    if (first < last) {
      kernels_.mat_mul(*matrices[i], input, first, last,
                       {.values = qkv_.As<float>() + columns[i], .stride = qkv_stride_});
    }
    before += panels;
  }
}

void Decoder::RotateAndStore(int32_t thread, const LayerWeights& layer, const LayerKind& kind,
                             const KvLayer& kv) {
  const auto bias_at = [](const std::vector<float>& bias, int32_t index) {
    return bias.empty() ? nullptr : bias.data() + index;
  };
  const int32_t size = spec_.head_size;
  const auto units = static_cast<int32_t>(rows_.size()) * spec_.kv_head_count;
  const auto [begin, end] = ShareOf(thread, team_.size(), units);
  for (int32_t unit = begin; unit < end; ++unit) {
    const int32_t index = unit / spec_.kv_head_count;
    const int32_t kv_head = unit % spec_.kv_head_count;
    const Row& row = rows_[static_cast<size_t>(index)];
    const float* const angles = kind.angles.As<float>() + int64_t{index} * spec_.rope_size;
    float* const queries = qkv_.As<float>() + int64_t{index} * qkv_stride_;
    for (int32_t head = kv_head * group_; head < (kv_head + 1) * group_; ++head) {
      PrepareHead(bias_at(layer.query_bias, head * size), layer.query_norm, angles,
                  queries + head * size);
    }
    float* const key = queries + key_column_ + kv_head * size;
    PrepareHead(bias_at(layer.key_bias, kv_head * size), layer.key_norm, angles, key);
    float* const value = queries + value_column_ + kv_head * size;
    if (!layer.value_bias.empty()) AddTo(value, bias_at(layer.value_bias, kv_head * size), size);
    const std::span<const int32_t> blocks = slices_[static_cast<size_t>(row.slice)].blocks;
    StoreKeyValue(key, value, kv,
                  kv.OffsetOf(blocks[static_cast<size_t>(row.position / kKvBlockTokens)], kv_head),
                  row.position % kKvBlockTokens);
  }
}

void Decoder::PrepareHead(const float* bias, const std::vector<float>& norm, const float* angles,
                          float* head) const {
  const int32_t size = spec_.head_size;
  if (bias != nullptr) AddTo(head, bias, size);
  if (!norm.empty() && size == padded_head_size_) {
    kernels_.rms_norm(head, norm.data(), size, spec_.rms_norm_epsilon, head);
  } else if (!norm.empty()) {
    PaddedHead padded(head, size, padded_head_size_);
    kernels_.rms_norm(padded.values, norm.data(), size, spec_.rms_norm_epsilon, padded.values);
    std::copy_n(padded.values, size, head);
  }
  kernels_.rope(angles, spec_.rope_size, head);
}

void Decoder::StoreKeyValue(const float* key, const float* value, const KvLayer& kv, int64_t offset,
                            int32_t token) const {
  const auto store = [&](const float* padded_key, const float* padded_value) {
    kernels_.store_key_value(padded_key, padded_value, padded_head_size_, token, kv.keys + offset,
                             kv.values + offset);
  };
  if (spec_.head_size == padded_head_size_) return store(key, value);
  store(PaddedHead(key, spec_.head_size, padded_head_size_).values,
        PaddedHead(value, spec_.head_size, padded_head_size_).values);
}

void Decoder::Attend(int32_t thread, const LayerKind& kind, const KvLayer& kv) {
  for (const AttentionUnit& unit : kind.plan.UnitsOf(thread)) AttendUnit(thread, unit, kind, kv);
}

void Decoder::AttendUnit(int32_t thread, const AttentionUnit& unit, const LayerKind& kind,
                         const KvLayer& kv) {
  const int64_t state_size = AttentionStateSize(padded_head_size_);
  const int64_t head_offset = int64_t{unit.first_head} * spec_.head_size;
  const auto slice = static_cast<size_t>(unit.slice);
  const int64_t first_row = first_rows_[slice] + unit.first_row;
  const AttentionTile tile = {.queries = qkv_.As<float>() + first_row * qkv_stride_ + head_offset,
                              .query_stride = qkv_stride_,
                              .row_count = unit.row_count,
                              .group = unit.head_count,
                              .first_position = slices_[slice].begin + unit.first_row,
                              .kv_head = unit.kv_head,
                              .blocks = slices_[slice].blocks.data(),
                              .scoring = kind.scoring};
  if (unit.partial_row >= 0) {
    const int64_t place = int64_t{unit.partial_row} * splits_max_ + unit.split_begin;
    kernels_.attend_split(
        tile, kv, unit.split_begin,
        partial_states_.As<float>() + (place * spec_.head_count + unit.first_head) * state_size);
    return;
  }
  float* const states = scratch_[static_cast<size_t>(thread)].As<float>();
  float* const next = states + kAttentionQueriesMax * state_size;
  const int32_t queries = unit.row_count * unit.head_count;
  kernels_.attend_split(tile, kv, unit.split_begin, states);
  for (int32_t split = unit.split_begin + 1; split < unit.split_end; ++split) {
    kernels_.attend_split(tile, kv, split, next);
    for (int32_t query = 0; query < queries; ++query) {
      const int32_t position = tile.first_position + query / unit.head_count;
      const int32_t first_split = kind.scoring.FirstVisible(position) / kSplitTokens;
      if (position < split * kSplitTokens || first_split > split)
        continue;  // it sees nothing of it
      const float* const from = next + query * state_size;
      float* const to = states + query * state_size;
      if (first_split == split) {
        std::copy_n(from, state_size, to);
      } else {
        kernels_.merge_attention(from, padded_head_size_, to);
      }
    }
  }
  for (int32_t query = 0; query < queries; ++query) {
    const int64_t row = first_row + query / unit.head_count;
    FinishHead(states + query * state_size, attended_.As<float>() + row * query_size_ +
                                                head_offset +
                                                query % unit.head_count * spec_.head_size);
  }
}

void Decoder::FinishHead(const float* state, float* out) const {
  if (spec_.head_size == padded_head_size_) {
    kernels_.finish_attention(state, padded_head_size_, out);
    return;
  }
  alignas(64) float padded[kHeadSizeMax];
  kernels_.finish_attention(state, padded_head_size_, padded);
  std::copy_n(padded, spec_.head_size, out);
}

void Decoder::MergeSplits(int32_t thread, const LayerKind& kind) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    const int32_t partial_row = kind.partial_rows[static_cast<size_t>(row)];
    if (partial_row >= 0) {
      MergeRow(row, kind.plan.partial_rows()[static_cast<size_t>(partial_row)], partial_row);
    }
    output_input_.Put(kernels_, row, attended_.As<float>() + int64_t{row} * query_size_);
  }
}

void Decoder::MergeRow(int32_t row, const AttentionPlan::PartialRow& partial, int32_t partial_row) {
  const int64_t state_size = AttentionStateSize(padded_head_size_);
  const int64_t split_stride = spec_.head_count * state_size;
  float* const splits =
      partial_states_.As<float>() + int64_t{partial_row} * splits_max_ * split_stride;
  for (int32_t head = 0; head < spec_.head_count; ++head) {
    float* const state = splits + partial.split_begin * split_stride + head * state_size;
    for (int32_t split = partial.split_begin + 1; split < partial.split_end; ++split) {
      kernels_.merge_attention(splits + split * split_stride + head * state_size, padded_head_size_,
                               state);
    }
    FinishHead(state, attended_.As<float>() + int64_t{row} * query_size_ + head * spec_.head_size);
  }
}

void Decoder::MultiplyBranch(int32_t thread, const PackedMatrix& weight, Activations& input) {
  const auto [begin, end] = ShareOf(thread, team_.size(), weight.panel_count());
  float* const out = spec_.post_norms ? branch_.As<float>() : hidden_.As<float>();
  kernels_.mat_mul(weight, input.Input(static_cast<int32_t>(rows_.size())), begin, end,
                   {.values = out, .stride = hidden_stride_, .add = !spec_.post_norms});
}

void Decoder::Gate(int32_t thread, const LayerWeights& layer) {
  const auto [begin, end] = ShareOf(thread, team_.size(), (layer.gate.panel_count() + 1) / 2);
  GatedMatMulOutput out = down_input_.GatedOutput();
  if (InfoOf(layer.down.format).integer) out.values = nullptr;
  out.activation = spec_.activation;
  if (!layer.gate_bias.empty()) {
    out.gate_bias = layer.gate_bias.data();
    out.up_bias = layer.up_bias.data();
  }
  kernels_.gated_mat_mul(layer.gate, layer.up, ffn_input_.Input(static_cast<int32_t>(rows_.size())),
                         begin, end, out);
}

void Decoder::Head(int32_t thread) {
  const auto count = static_cast<int32_t>(logits_rows_.size());
  if (count == 0) return;
  float* const normalized = scratch_[static_cast<size_t>(thread)].As<float>();
  const auto [first, last] = ShareOf(thread, team_.size(), count);
  for (int32_t i = first; i < last; ++i) {
    const int32_t row = logits_rows_[static_cast<size_t>(i)];
    EndBranch(row, EndBefore(spec_.layer_count));
    kernels_.rms_norm(hidden_.As<float>() + int64_t{row} * hidden_stride_,
                      weights_.output_norm().data(), spec_.hidden_size, spec_.rms_norm_epsilon,
                      normalized);
    head_input_.Put(kernels_, i, normalized);
  }
  team_.Barrier();
  const auto [begin, end] = ShareOf(thread, team_.size(), weights_.head().panel_count());
  kernels_.mat_mul(weights_.head(), head_input_.Input(count), begin, end,
                   {.values = logits_.As<float>(), .stride = logits_stride_});
  if (spec_.logit_soft_cap <= 0) return;
  for (int32_t i = 0; i < count; ++i) {
    kernels_.soft_cap(spec_.logit_soft_cap, (end - begin) * kPanelOutputs,
                      logits_.As<float>() + i * logits_stride_ + begin * kPanelOutputs);
  }
}

}  // namespace spillway
