// The stages of Decoder's forward pass: what each thread does between two barriers.

#include <algorithm>

#include "worker/kernels/numerics.h"
#include "worker/model/decoder.h"

namespace spillway {
namespace {

constexpr int32_t kSplitTokens = kAttentionSplitBlocks * kKvBlockTokens;

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
  const KvLayer kv = cache_.layer(index);
  Normalize(thread, layer.attention_norm, attention_input_);
  team_.Barrier();
  ProjectQkv(thread, layer);
  team_.Barrier();
  RotateAndStore(thread, kv);
  team_.Barrier();
  Attend(thread, kv);
  team_.Barrier();
  MergeSplits(thread);
  team_.Barrier();
  MultiplyAdd(thread, layer.output, output_input_);
  team_.Barrier();
  Normalize(thread, layer.ffn_norm, ffn_input_);
  team_.Barrier();
  Gate(thread, layer);
  team_.Barrier();
  MultiplyAdd(thread, layer.down, down_input_);
  team_.Barrier();
}

void Decoder::Embed(int32_t thread) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    UnpackRow(weights_.embedding(), rows_[static_cast<size_t>(row)].token,
              hidden_.As<float>() + int64_t{row} * spec_.hidden_size);
  }
}

void Decoder::Normalize(int32_t thread, const std::vector<float>& weight, Activations& out) {
  float* const normalized = scratch_[static_cast<size_t>(thread)].As<float>();
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    kernels_.rms_norm(hidden_.As<float>() + int64_t{row} * spec_.hidden_size, weight.data(),
                      spec_.hidden_size, spec_.rms_norm_epsilon, normalized);
    out.Put(kernels_, row, normalized);
  }
}

// The panels of the three matrices count as those of one.
void Decoder::ProjectQkv(int32_t thread, const LayerWeights& layer) {
  const MatMulInput input = attention_input_.Input(static_cast<int32_t>(rows_.size()));
  const PackedMatrix* const matrices[] = {&layer.query, &layer.key, &layer.value};
  const int32_t columns[] = {0, query_size_, query_size_ + kv_size_};
  const auto [begin, end] = ShareOf(thread, team_.size(), qkv_size_ / kPanelOutputs);
  int32_t before = 0;
  for (int32_t i = 0; i < 3; ++i) {
    const int32_t panels = matrices[i]->panel_count();
    const int32_t first = std::clamp(begin - before, 0, panels);
    const int32_t last = std::clamp(end - before, 0, panels);
    if (first < last) {
      kernels_.mat_mul(*matrices[i], input, first, last,
                       {.values = qkv_.As<float>() + columns[i], .stride = qkv_size_});
    }
    before += panels;
  }
}

void Decoder::RotateAndStore(int32_t thread, const KvLayer& kv) {
  const auto units = static_cast<int32_t>(rows_.size()) * spec_.kv_head_count;
  const auto [begin, end] = ShareOf(thread, team_.size(), units);
  for (int32_t unit = begin; unit < end; ++unit) {
    const int32_t index = unit / spec_.kv_head_count;
    const int32_t kv_head = unit % spec_.kv_head_count;
    const Row& row = rows_[static_cast<size_t>(index)];
    const float* const angles = rope_table_.data() + int64_t{row.position} * spec_.rope_size;
    float* const query = qkv_.As<float>() + int64_t{index} * qkv_size_;
    float* const key = query + query_size_ + kv_head * spec_.head_size;
    for (int32_t head = kv_head * group_; head < (kv_head + 1) * group_; ++head) {
      kernels_.rope(angles, spec_.rope_size, query + head * spec_.head_size);
    }
    kernels_.rope(angles, spec_.rope_size, key);
    const std::span<const int32_t> blocks = slices_[static_cast<size_t>(row.slice)].blocks;
    const int64_t offset =
        kv.OffsetOf(blocks[static_cast<size_t>(row.position / kKvBlockTokens)], kv_head);
    kernels_.store_key_value(key, key + kv_size_, spec_.head_size, row.position % kKvBlockTokens,
                             kv.keys + offset, kv.values + offset);
  }
}

void Decoder::Attend(int32_t thread, const KvLayer& kv) {
  for (const AttentionUnit& unit : attention_plan_.UnitsOf(thread)) AttendUnit(thread, unit, kv);
}

void Decoder::AttendUnit(int32_t thread, const AttentionUnit& unit, const KvLayer& kv) {
  const int64_t state_size = AttentionStateSize(spec_.head_size);
  const int64_t head_offset = int64_t{unit.first_head} * spec_.head_size;
  const auto slice = static_cast<size_t>(unit.slice);
  const int64_t first_row = first_rows_[slice] + unit.first_row;
  const AttentionTile tile = {.queries = qkv_.As<float>() + first_row * qkv_size_ + head_offset,
                              .query_stride = qkv_size_,
                              .row_count = unit.row_count,
                              .group = unit.head_count,
                              .first_position = slices_[slice].begin + unit.first_row,
                              .kv_head = unit.kv_head,
                              .blocks = slices_[slice].blocks.data()};
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
  kernels_.attend_split(tile, kv, 0, states);
  for (int32_t split = 1; split < unit.split_end; ++split) {
    kernels_.attend_split(tile, kv, split, next);
    for (int32_t query = 0; query < queries; ++query) {
      if (tile.first_position + query / unit.head_count < split * kSplitTokens) continue;
      kernels_.merge_attention(next + query * state_size, spec_.head_size,
                               states + query * state_size);
    }
  }
  for (int32_t query = 0; query < queries; ++query) {
    const int64_t row = first_row + query / unit.head_count;
    kernels_.finish_attention(states + query * state_size, spec_.head_size,
                              attended_.As<float>() + row * query_size_ + head_offset +
                                  query % unit.head_count * spec_.head_size);
  }
}

void Decoder::MergeSplits(int32_t thread) {
  const auto [begin, end] = RowsOf(thread);
  for (int32_t row = begin; row < end; ++row) {
    const int32_t partial_row = rows_[static_cast<size_t>(row)].partial_row;
    if (partial_row >= 0) {
      MergeRow(row, attention_plan_.partial_rows()[static_cast<size_t>(partial_row)], partial_row);
    }
    output_input_.Put(kernels_, row, attended_.As<float>() + int64_t{row} * query_size_);
  }
}

void Decoder::MergeRow(int32_t row, const AttentionPlan::PartialRow& partial, int32_t partial_row) {
  const int64_t state_size = AttentionStateSize(spec_.head_size);
  const int64_t split_stride = spec_.head_count * state_size;
  float* const splits =
      partial_states_.As<float>() + int64_t{partial_row} * splits_max_ * split_stride;
  for (int32_t head = 0; head < spec_.head_count; ++head) {
    float* const state = splits + head * state_size;
    for (int32_t split = 1; split < partial.split_count; ++split) {
      kernels_.merge_attention(state + split * split_stride, spec_.head_size, state);
    }
    kernels_.finish_attention(
        state, spec_.head_size,
        attended_.As<float>() + int64_t{row} * query_size_ + head * spec_.head_size);
  }
}

void Decoder::MultiplyAdd(int32_t thread, const PackedMatrix& weight, Activations& input) {
  const auto [begin, end] = ShareOf(thread, team_.size(), weight.panel_count());
  kernels_.mat_mul(weight, input.Input(static_cast<int32_t>(rows_.size())), begin, end,
                   {.values = hidden_.As<float>(), .stride = spec_.hidden_size, .add = true});
}

void Decoder::Gate(int32_t thread, const LayerWeights& layer) {
  const auto [begin, end] = ShareOf(thread, team_.size(), layer.gate.panel_count() / 2);
  GatedMatMulOutput out = down_input_.GatedOutput();
  if (InfoOf(layer.down.format).integer) out.values = nullptr;
  kernels_.gated_mat_mul(layer.gate, layer.up, ffn_input_.Input(static_cast<int32_t>(rows_.size())),
                         begin, end, out);
}

void Decoder::Head(int32_t thread) {
  const auto count = static_cast<int32_t>(logits_rows_.size());
  if (count == 0) return;
  float* const normalized = scratch_[static_cast<size_t>(thread)].As<float>();
  const auto [first, last] = ShareOf(thread, team_.size(), count);
  for (int32_t i = first; i < last; ++i) {
    const int64_t row = logits_rows_[static_cast<size_t>(i)];
    kernels_.rms_norm(hidden_.As<float>() + row * spec_.hidden_size, weights_.output_norm().data(),
                      spec_.hidden_size, spec_.rms_norm_epsilon, normalized);
    head_input_.Put(kernels_, i, normalized);
  }
  team_.Barrier();
  const auto [begin, end] = ShareOf(thread, team_.size(), weights_.head().panel_count());
  kernels_.mat_mul(weights_.head(), head_input_.Input(count), begin, end,
                   {.values = logits_.As<float>(), .stride = logits_stride_});
}

}  // namespace spillway
