#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/device/host_buffer.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/model/activations.h"
#include "worker/model/attention_plan.h"
#include "worker/model/kv_cache.h"
#include "worker/model/model_spec.h"
#include "worker/model/weights.h"

namespace spillway {

// The next tokens of one sequence: its positions [begin, begin + tokens.size()).
struct DecoderSlice {
  int32_t begin = 0;
  std::span<const TokenId> tokens;  // not empty
  std::span<const int32_t> blocks;  // position p lives in KV block blocks[p / 16]
  bool logits = false;              // those that follow its last token
};

struct DecoderLimits {
  int32_t tokens_max = 0;     // in one forward pass, over all slices
  int32_t slices_max = 0;     // in one forward pass
  int32_t positions_max = 0;  // of one sequence
};

// The forward pass of a decoder-only transformer over paged KV memory: ModelSpec says which, the
// kernels how. A row's result depends on its sequence's tokens only, bit for bit
// (worker/kernels/numerics.h).
//
// Every stage is cut into as many shares as the team has threads, with a barrier between stages.
// Owned and called by one thread, the team's leader; allocates nothing after Make() but when a step
// needs more attention units than any before.
class Decoder {
 public:
  // Borrows all references, which outlive it. RESOURCE_EXHAUSTED: no memory.
  static absl::StatusOr<std::unique_ptr<Decoder>> Make(const ModelSpec& spec,
                                                       const ModelWeights& weights,
                                                       const DecoderLimits& limits, KvCache& cache,
                                                       ThreadTeam& team, const CpuKernels& kernels);

  // Runs all slices and stores their keys and values. Requires slices within the limits, tokens in
  // the vocabulary and enough blocks, and that positions before `begin` have been run.
  void Forward(std::span<const DecoderSlice> slices);

  // Computes the logits of further rows of the last Forward(), given by their places among all rows
  // of all its slices: in place of what logits() had. Requires at most slices_max rows.
  void ComputeLogits(std::span<const int32_t> rows);

  // Of the last Forward(): [vocabulary] for the index-th slice of those with `logits`; after
  // ComputeLogits() for the index-th of its rows. The caller may write over them. They hold until
  // the next call of either.
  std::span<float> logits(int32_t index);

 private:
  Decoder(const ModelSpec& spec, const ModelWeights& weights, const DecoderLimits& limits,
          KvCache& cache, ThreadTeam& team, const CpuKernels& kernels);
  absl::Status Allocate();

  // What Forward() works out before the team starts.
  void PlanRows(std::span<const DecoderSlice> slices);

  // The stages, each thread's share; layer() runs them with barriers between.
  void RunAll(int32_t thread);
  void RunLayer(int32_t thread, int32_t index);
  void Embed(int32_t thread);
  void Normalize(int32_t thread, const std::vector<float>& weight, Activations& out);
  void ProjectQkv(int32_t thread, const LayerWeights& layer);
  void RotateAndStore(int32_t thread, const KvLayer& kv);
  void Attend(int32_t thread, const KvLayer& kv);
  void AttendUnit(int32_t thread, const AttentionUnit& unit, const KvLayer& kv);
  void MergeSplits(int32_t thread);
  void MergeRow(int32_t row, const AttentionPlan::PartialRow& partial, int32_t partial_row);
  void MultiplyAdd(int32_t thread, const PackedMatrix& weight, Activations& input);
  void Gate(int32_t thread, const LayerWeights& layer);
  void Head(int32_t thread);

  // The rows of this step that are `thread`'s in stages that go row by row.
  std::pair<int32_t, int32_t> RowsOf(int32_t thread) const;

  const ModelSpec& spec_;
  const ModelWeights& weights_;
  const DecoderLimits limits_;
  KvCache& cache_;
  ThreadTeam& team_;
  const CpuKernels& kernels_;
  const int32_t group_;       // query heads per KV head
  const int32_t query_size_;  // head_count * head_size
  const int32_t kv_size_;     // kv_head_count * head_size
  const int32_t qkv_size_;    // of a row of qkv_
  const int32_t splits_max_;  // of one sequence's context
  const int64_t logits_stride_;
  const std::vector<float> rope_table_;

  // One step's plan: written by the leader before the team starts.
  struct Row {
    int32_t slice;
    int32_t position;
    TokenId token;
    int32_t partial_row;  // of the attention plan, or -1
  };
  std::span<const DecoderSlice> slices_;
  std::vector<Row> rows_;
  std::vector<int32_t> first_rows_;   // of each slice
  std::vector<int32_t> logits_rows_;  // rows_ that want logits
  std::vector<AttentionPlan::Slice> attention_slices_;
  AttentionPlan attention_plan_;

  // Activations of one step, [rows, …] f32; a stage's threads write different parts of them.
  HostBuffer hidden_;                // [rows, hidden]: the residual stream
  HostBuffer qkv_;                   // [rows, query_size + 2 * kv_size]
  HostBuffer attended_;              // [rows, query_size]
  HostBuffer partial_states_;        // [partial rows, splits, heads, AttentionStateSize]
  HostBuffer logits_;                // [slices, vocabulary rounded up to 16]
  Activations attention_input_;      // hidden, normalised
  Activations output_input_;         // attended_
  Activations ffn_input_;            // hidden, normalised
  Activations down_input_;           // silu(gate) * up
  Activations head_input_;           // hidden of logits_rows_, normalised
  std::vector<HostBuffer> scratch_;  // [threads]: thread-local
};

}  // namespace spillway
