#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace spillway {

// One call of the attention kernel: some rows of one sequence, some query heads of one KV head,
// some splits of the context.
struct AttentionUnit {
  int32_t slice = 0;      // of the step
  int32_t first_row = 0;  // within the slice
  int32_t row_count = 0;
  int32_t kv_head = 0;
  int32_t first_head = 0;  // query heads
  int32_t head_count = 0;
  int32_t split_begin = 0;
  int32_t split_end = 0;
  // -1: the unit covers all splits of its rows and finishes them. Else it is one of several splits
  // of one row; its states go to place partial_row * splits_max + split_begin of the step.
  int32_t partial_row = -1;
};

// Cuts the attention of a step into units and shares them out, by cost, to threads. Decides where
// things are computed only: results don't depend on it. The same for all layers of one window.
class AttentionPlan {
 public:
  struct Slice {
    int32_t begin = 0;  // position of its first row
    int32_t count = 0;
  };
  // A row that sees several splits and that is alone in its slice is cut by split.
  struct PartialRow {
    int32_t slice = 0;
    int32_t split_begin = 0;
    int32_t split_end = 0;
  };

  // `group` is the query heads of a KV head; `window` as in AttentionScoring.
  AttentionPlan(int32_t kv_head_count, int32_t group, int32_t thread_count, int32_t window = 0);

  // Replaces the plan. Doesn't allocate once it has seen its largest step.
  void Build(std::span<const Slice> slices);

  std::span<const AttentionUnit> UnitsOf(int32_t thread) const;
  std::span<const PartialRow> partial_rows() const { return partial_rows_; }

 private:
  void AddRow(int32_t slice, int32_t position, int32_t heads_at_once);
  void AddChunk(int32_t slice, const Slice& rows);
  int32_t FirstVisible(int32_t position) const;
  void Share();

  const int32_t kv_head_count_;
  const int32_t group_;
  const int32_t thread_count_;
  const int32_t window_;
  std::vector<AttentionUnit> units_;
  std::vector<int64_t> costs_;        // of units_
  std::vector<int32_t> first_units_;  // [threads + 1]
  std::vector<PartialRow> partial_rows_;
};

}  // namespace spillway
