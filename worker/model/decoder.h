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

  // How layers of one kind attend: all, or local and global ones.
  struct LayerKind {
    LayerKind(const ModelSpec& spec, bool local, int32_t thread_count);

    AttentionScoring scoring;
    const Rope* rope;
    AttentionPlan plan;
    std::vector<int32_t> partial_rows;  // [rows]: of the plan, or -1
    HostBuffer angles;                  // [rows, rope_size] f32: RopeAngles()
  };
  // What the output of an attention or feed-forward branch goes through before it is part of the
  // residual stream; both empty: nothing.
  struct BranchEnd {
    std::span<const float> bias;
    std::span<const float> post_norm;
  };
  // Of the feed-forward branch before layer `index`.
  BranchEnd EndBefore(int32_t index) const;

  // The stages, each thread's share; RunLayer() runs them with barriers between.
  void RunAll(int32_t thread);
  void RunLayer(int32_t thread, int32_t index);
  void Embed(int32_t thread);
  // Ends the branch before and normalises the residual stream.
  void Normalize(int32_t thread, const BranchEnd& before, const std::vector<float>& weight,
                 Activations& out);
  void EndBranch(int32_t row, const BranchEnd& end);
  void ProjectQkv(int32_t thread, const LayerWeights& layer);
  void RotateAndStore(int32_t thread, const LayerWeights& layer, const LayerKind& kind,
                      const KvLayer& kv);
  void PrepareHead(const float* bias, const std::vector<float>& norm, const float* angles,
                   float* head) const;
  void StoreKeyValue(const float* key, const float* value, const KvLayer& kv, int64_t offset,
                     int32_t token) const;
  void Attend(int32_t thread, const LayerKind& kind, const KvLayer& kv);
  void AttendUnit(int32_t thread, const AttentionUnit& unit, const LayerKind& kind,
                  const KvLayer& kv);
  void FinishHead(const float* state, float* out) const;
  void MergeSplits(int32_t thread, const LayerKind& kind);
  void MergeRow(int32_t row, const AttentionPlan::PartialRow& partial, int32_t partial_row);
  void MultiplyBranch(int32_t thread, const PackedMatrix& weight, Activations& input);
  void Gate(int32_t thread, const LayerWeights& layer);
  void Head(int32_t thread);

  // The rows of this step that are `thread`'s in stages that go row by row.
  std::pair<int32_t, int32_t> RowsOf(int32_t thread) const;
  const LayerKind& KindOf(int32_t layer) const { return kinds_[spec_.IsLocal(layer) ? 1 : 0]; }

  const ModelSpec& spec_;
  const ModelWeights& weights_;
  const DecoderLimits limits_;
  KvCache& cache_;
  ThreadTeam& team_;
  const CpuKernels& kernels_;
  // Rows of activations have strides of whole panels; what is beyond their elements is zero.
  const int32_t hidden_stride_;
  const int32_t group_;         // query heads per KV head
  const int32_t query_size_;    // head_count * head_size
  const int32_t key_column_;    // of a row of qkv_: queries, keys, values
  const int32_t value_column_;  // of the same
  const int32_t qkv_stride_;
  const int32_t padded_head_size_;  // KvLayer's
  const int32_t splits_max_;        // of one sequence's context
  const int64_t logits_stride_;

  // One step's plan: written by the leader before the team starts.
  struct Row {
    int32_t slice;
    int32_t position;
    TokenId token;
  };
  std::span<const DecoderSlice> slices_;
  std::vector<Row> rows_;
  std::vector<int32_t> first_rows_;   // of each slice
  std::vector<int32_t> logits_rows_;  // rows_ that want logits
  std::vector<AttentionPlan::Slice> attention_slices_;
  std::vector<LayerKind> kinds_;  // global, then local if there are local layers

  // Activations of one step, [rows, …] f32; a stage's threads write different parts of them.
  HostBuffer hidden_;                // [rows, hidden]: the residual stream
  HostBuffer branch_;                // [rows, hidden]: before its post norm, where there are any
  HostBuffer qkv_;                   // [rows, queries, keys, values]
  HostBuffer attended_;              // [rows, query_size]
  HostBuffer partial_states_;        // [partial rows, splits, heads, AttentionStateSize]
  HostBuffer logits_;                // [slices, vocabulary rounded up to 16]
  Activations attention_input_;      // hidden, normalised
  Activations output_input_;         // attended_
  Activations ffn_input_;            // hidden, normalised
  Activations down_input_;           // activation(gate) * up
  Activations head_input_;           // hidden of logits_rows_, normalised
  std::vector<HostBuffer> scratch_;  // [threads]: thread-local
};

}  // namespace spillway
