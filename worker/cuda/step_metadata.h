#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "worker/cuda/cuda_decoder.h"
#include "worker/executor.h"
#include "worker/kernels/sampling_cuda.h"
#include "worker/kernels/token_scores_cuda.h"

namespace spillway {

struct StepMetadataLimits {
  int32_t rows_max = 0;
  int32_t sequences_max = 0;
  int32_t positions_max = 0;
  int32_t units_max = 0;  // of decode attention
};

// Some rows whose logits are computed at once, and the tokens that they score.
struct ScoreTurn {
  const int32_t* rows = nullptr;  // [row_count] on the device
  int32_t row_count = 0;
  const TokenToScore* tokens = nullptr;  // [row_count] on the device, by logits rows 0, 1, …
};

// All that a step's kernels are told, beyond weights and KV: put into one piece of page-locked
// memory, which is copied to the device at once. Pure but for that memory.
//
// A step in which every sequence runs one token gets rows and units of padding up to round numbers,
// and the same layout for the same numbers: one graph serves all such steps. In others there is no
// padding.
//
// Owned and called by one thread. Reused; the steady state allocates nothing.
class StepMetadata {
 public:
  // The largest step's. Shared prefixes are told for each sequence that has them.
  static int64_t BytesMax(const StepMetadataLimits& limits);

  // `host` and `device` have BytesMax() each, aligned to 256.
  StepMetadata(const StepMetadataLimits& limits, std::span<std::byte> host, std::byte* device);

  // Lays out a step. Requires that `rows` keep the limits (the executor has checked them).
  void Build(std::span<const StepRow> rows);

  int64_t bytes() const { return bytes_; }  // to be copied
  const CudaStep& step() const { return step_; }
  // True if all sequences run one token and nothing of a prompt is scored.
  bool is_decode() const { return is_decode_; }

  // The rows that the head needs for sampling, [head_row_count()] on the device.
  const int32_t* head_rows() const { return head_rows_; }
  int32_t head_row_count() const { return head_row_count_; }

  // What is sampled, in the order of the rows that do.
  int32_t sampled_count() const { return sampled_count_; }
  const SamplingRow* sampling_rows() const { return sampling_rows_; }  // device
  const int32_t* logits_rows() const { return logits_rows_; }          // device
  const LogitBias* biases() const { return biases_; }                  // device
  int32_t bias_count() const { return bias_count_; }

  // Which of the sampled tokens are scored, and in turns what of the prompts is.
  const TokenToScore* sampled_scores() const { return sampled_scores_; }  // device
  int32_t sampled_score_count() const { return sampled_score_count_; }
  std::span<const ScoreTurn> turns() const { return turns_; }
  // How many likeliest tokens each score tells: the sampled tokens', then the prompts'.
  std::span<const int32_t> top_counts() const { return top_counts_; }

 private:
  // Room for `count` values at the end of what there is, and where the device will have them.
  template <typename T>
  std::span<T> Add(size_t count, const T*& device);

  // Decides the order of rows, and which sequences go to decode attention.
  void Order(std::span<const StepRow> rows);
  void PlaceRows(std::span<const StepRow> rows);
  void PlaceBlocks(std::span<const StepRow> rows);
  void PlaceSampling(std::span<const StepRow> rows);
  void PlaceScores(std::span<const StepRow> rows);

  const StepMetadataLimits limits_;
  const std::span<std::byte> host_;
  std::byte* const device_;

  int64_t bytes_ = 0;
  CudaStep step_;
  bool is_decode_ = false;
  std::vector<int32_t> order_;       // of the rows of Build(), those that decode first
  std::vector<bool> decodes_;        // by row of Build(): whether decode attention takes it
  std::vector<int32_t> first_rows_;  // of the device, by row of Build()
  std::vector<DecodeUnit> units_;
  std::vector<int32_t> first_units_;
  std::span<int32_t> table_begins_;
  const int32_t* head_rows_ = nullptr;
  int32_t head_row_count_ = 0;
  int32_t sampled_count_ = 0;
  const SamplingRow* sampling_rows_ = nullptr;
  const int32_t* logits_rows_ = nullptr;
  const LogitBias* biases_ = nullptr;
  int32_t bias_count_ = 0;
  const TokenToScore* sampled_scores_ = nullptr;
  int32_t sampled_score_count_ = 0;
  std::vector<ScoreTurn> turns_;
  std::vector<int32_t> top_counts_;
  std::vector<LogitBias> bias_list_;
  std::vector<TokenToScore> score_list_;
};

// The padded sizes of steps that decode: a graph is made for each.
int32_t DecodeRowsBucket(int32_t rows);
int32_t DecodeUnitsBucket(int32_t units);

}  // namespace spillway
