#include "worker/model/attention_plan.h"

#include <algorithm>

#include "common/check.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kSplitTokens = kAttentionSplitBlocks * kKvBlockTokens;

// Below this many units a thread, one row's query heads are units of their own: their keys are then
// read more than once, but no thread waits for another's three heads.
constexpr int32_t kUnitsPerThreadMin = 4;

}  // namespace

AttentionPlan::AttentionPlan(int32_t kv_head_count, int32_t group, int32_t thread_count,
                             int32_t window)
    : kv_head_count_(kv_head_count), group_(group), thread_count_(thread_count), window_(window) {
  Share();
}

int32_t AttentionPlan::FirstVisible(int32_t position) const {
  return AttentionScoring{.window = window_}.FirstVisible(position);
}

void AttentionPlan::Build(std::span<const Slice> slices) {
  units_.clear();
  costs_.clear();
  partial_rows_.clear();
  const auto row_units = static_cast<int64_t>(slices.size()) * kv_head_count_;
  const bool few = thread_count_ > 1 && row_units < kUnitsPerThreadMin * thread_count_;
  const int32_t heads_at_once = few ? 1 : std::min(group_, kAttentionQueriesMax);
  for (size_t i = 0; i < slices.size(); ++i) {
    const auto slice = static_cast<int32_t>(i);
    if (slices[i].count == 1) {
      AddRow(slice, slices[i].begin, heads_at_once);
    } else {
      AddChunk(slice, slices[i]);
    }
  }
  Share();
}

void AttentionPlan::AddRow(int32_t slice, int32_t position, int32_t heads_at_once) {
  const int32_t first_visible = FirstVisible(position);
  const int32_t split_begin = first_visible / kSplitTokens;
  const int32_t split_end = position / kSplitTokens + 1;
  const bool partial = split_end - split_begin > 1;
  const auto partial_row = static_cast<int32_t>(partial_rows_.size());
  if (partial) partial_rows_.push_back({slice, split_begin, split_end});
  for (int32_t split = split_begin; split < split_end; ++split) {
    const int32_t tokens = std::min((split + 1) * kSplitTokens, position + 1) -
                           std::max(split * kSplitTokens, first_visible);
    for (int32_t kv_head = 0; kv_head < kv_head_count_; ++kv_head) {
      for (int32_t head = 0; head < group_; head += heads_at_once) {
        const int32_t heads = std::min(heads_at_once, group_ - head);
        units_.push_back({.slice = slice,
                          .first_row = 0,
                          .row_count = 1,
                          .kv_head = kv_head,
                          .first_head = kv_head * group_ + head,
                          .head_count = heads,
                          .split_begin = split,
                          .split_end = split + 1,
                          .partial_row = partial ? partial_row : -1});
        costs_.push_back(int64_t{heads} * tokens);
      }
    }
  }
}

void AttentionPlan::AddChunk(int32_t slice, const Slice& rows) {
  const int32_t heads_at_once = std::min(group_, kAttentionQueriesMax);
  const int32_t rows_at_once = kAttentionQueriesMax / heads_at_once;
  for (int32_t kv_head = 0; kv_head < kv_head_count_; ++kv_head) {
    for (int32_t row = 0; row < rows.count; row += rows_at_once) {
      const int32_t count = std::min(rows_at_once, rows.count - row);
      const int32_t last_position = rows.begin + row + count - 1;
      const int32_t first_visible = FirstVisible(rows.begin + row);
      for (int32_t head = 0; head < group_; head += heads_at_once) {
        const int32_t heads = std::min(heads_at_once, group_ - head);
        units_.push_back({.slice = slice,
                          .first_row = row,
                          .row_count = count,
                          .kv_head = kv_head,
                          .first_head = kv_head * group_ + head,
                          .head_count = heads,
                          .split_begin = first_visible / kSplitTokens,
                          .split_end = last_position / kSplitTokens + 1,
                          .partial_row = -1});
        costs_.push_back(int64_t{count} * heads * (last_position + 1 - first_visible));
      }
    }
  }
}

// Thread t takes the units whose middle lies in its t-th part of the whole cost.
void AttentionPlan::Share() {
  int64_t total = 0;
  for (const int64_t cost : costs_) total += cost;
  first_units_.assign(static_cast<size_t>(thread_count_ + 1), static_cast<int32_t>(units_.size()));
  first_units_[0] = 0;
  int64_t before = 0;
  int32_t thread = 1;
  for (size_t i = 0; i < units_.size(); ++i) {
    const int64_t middle = before + costs_[i] / 2;
    while (thread < thread_count_ && middle * thread_count_ >= total * thread) {
      first_units_[static_cast<size_t>(thread++)] = static_cast<int32_t>(i);
    }
    before += costs_[i];
  }
}

std::span<const AttentionUnit> AttentionPlan::UnitsOf(int32_t thread) const {
  const auto begin = static_cast<size_t>(first_units_[static_cast<size_t>(thread)]);
  const auto end = static_cast<size_t>(first_units_[static_cast<size_t>(thread + 1)]);
  return std::span(units_).subspan(begin, end - begin);
}

}  // namespace spillway
