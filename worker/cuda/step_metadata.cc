#include "worker/cuda/step_metadata.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "common/check.h"
#include "worker/kernels/embedding_cuda.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int64_t kAlignment = 16;
constexpr int32_t kBiasesMax = SamplingParams::kLogitBiasMax;
// Banned tokens are those that end a text: a few. More fall to the biases' room.
constexpr int32_t kBannedMax = 64;

int32_t BlocksFor(int32_t positions) { return (positions + kKvBlockTokens - 1) / kKvBlockTokens; }

}  // namespace

int32_t DecodeRowsBucket(int32_t rows) {
  if (rows <= 2) return rows;
  if (rows <= 4) return 4;
  if (rows <= 32) return (rows + 7) / 8 * 8;
  return (rows + 31) / 32 * 32;
}

int32_t DecodeUnitsBucket(int32_t units) {
  return static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(std::max(units, 1))));
}

int64_t StepMetadata::BytesMax(const StepMetadataLimits& limits) {
  const int64_t rows = limits.rows_max;
  const int64_t sequences = DecodeRowsBucket(limits.sequences_max);
  const int64_t blocks = sequences * BlocksFor(limits.positions_max);
  const int64_t units = DecodeUnitsBucket(limits.units_max);
  const int64_t scores = rows + sequences;
  const int64_t integers = 3 * std::max(rows, sequences) + 5 * (sequences + 1) + blocks + rows;
  const int64_t arrays = 32 + rows;  // each may need padding
  return (integers * 4 + units * static_cast<int64_t>(sizeof(DecodeUnit)) +
          sequences * static_cast<int64_t>(sizeof(SamplingRow)) +
          sequences * (kBiasesMax + kBannedMax) * static_cast<int64_t>(sizeof(LogitBias)) +
          scores * static_cast<int64_t>(sizeof(TokenToScore)) + arrays * kAlignment + 255) /
         256 * 256;
}

StepMetadata::StepMetadata(const StepMetadataLimits& limits, std::span<std::byte> host,
                           std::byte* device)
    : limits_(limits), host_(host), device_(device) {
  CHECK(static_cast<int64_t>(host.size()) >= BytesMax(limits));
}

template <typename T>
std::span<T> StepMetadata::Add(size_t count, const T*& device) {
  const auto size = static_cast<int64_t>(count * sizeof(T));
  CHECK(bytes_ + size <= static_cast<int64_t>(host_.size()));
  T* const values = reinterpret_cast<T*>(host_.data() + bytes_);
  device = reinterpret_cast<const T*>(device_ + bytes_);
  bytes_ += (size + kAlignment - 1) / kAlignment * kAlignment;
  return {values, count};
}

void StepMetadata::Build(std::span<const StepRow> rows) {
  bytes_ = 0;
  step_ = {};
  Order(rows);
  PlaceRows(rows);
  PlaceBlocks(rows);
  PlaceSampling(rows);
  PlaceScores(rows);
}

void StepMetadata::Order(std::span<const StepRow> rows) {
  order_.clear();
  decodes_.assign(rows.size(), false);
  units_.clear();
  first_units_.clear();
  is_decode_ = true;
  for (size_t i = 0; i < rows.size(); ++i) {
    const StepSlice& slice = rows[i].slice;
    const int32_t units = (slice.begin + CudaDecoder::kSplitTokens) / CudaDecoder::kSplitTokens;
    // Prefill attention takes those for which decode attention has no room.
    const bool fits = static_cast<int32_t>(units_.size()) + units <= limits_.units_max;
    is_decode_ = is_decode_ && slice.count == 1 && fits && rows[i].score_begin == rows[i].score_end;
    if (slice.count != 1 || !fits) continue;
    first_units_.push_back(static_cast<int32_t>(units_.size()));
    AddDecodeUnits(static_cast<int32_t>(order_.size()), slice.begin + 1, CudaDecoder::kSplitTokens,
                   units_);
    decodes_[i] = true;
    order_.push_back(static_cast<int32_t>(i));
  }
  step_.decode_count = static_cast<int32_t>(order_.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!decodes_[i]) order_.push_back(static_cast<int32_t>(i));
  }
  step_.prefill_count = static_cast<int32_t>(rows.size()) - step_.decode_count;
  step_.unit_count = static_cast<int32_t>(units_.size());
  for (const StepRow& row : rows) step_.rows += row.slice.count;
  if (!is_decode_) return;
  step_.decode_count = step_.rows = DecodeRowsBucket(step_.rows);
  step_.unit_count = DecodeUnitsBucket(step_.unit_count);
}

void StepMetadata::PlaceRows(std::span<const StepRow> rows) {
  const auto row_count = static_cast<size_t>(step_.rows);
  const auto sequence_count = static_cast<size_t>(step_.decode_count + step_.prefill_count);
  const std::span<int32_t> tokens = Add(row_count, step_.tokens);
  const std::span<int32_t> positions = Add(row_count, step_.positions);
  const std::span<int32_t> sequences = Add(row_count, step_.sequences);
  const std::span<int32_t> lengths = Add(sequence_count, step_.lengths);
  table_begins_ = Add(sequence_count, step_.table.begins);
  const std::span<int32_t> first_units =
      Add(static_cast<size_t>(step_.decode_count), step_.first_units);
  const std::span<DecodeUnit> units = Add(static_cast<size_t>(step_.unit_count), step_.units);
  // Padding: a token that isn't one, a sequence that isn't one, nothing to attend to.
  std::ranges::fill(tokens, -1);
  std::ranges::fill(positions, 0);
  std::ranges::fill(sequences, -1);
  std::ranges::fill(lengths, 0);
  std::ranges::fill(table_begins_, 0);
  std::ranges::fill(first_units, 0);
  std::ranges::fill(units, DecodeUnit{});
  std::ranges::copy(first_units_, first_units.begin());
  std::ranges::copy(units_, units.begin());
  const std::span<int32_t> row_begins =
      Add(static_cast<size_t>(step_.prefill_count) + 1, step_.row_begins);

  first_rows_.assign(rows.size(), 0);
  size_t row = 0;
  for (size_t sequence = 0; sequence < order_.size(); ++sequence) {
    const auto index = static_cast<size_t>(order_[sequence]);
    const StepSlice& slice = rows[index].slice;
    first_rows_[index] = static_cast<int32_t>(row);
    lengths[sequence] = slice.begin + slice.count;
    if (static_cast<int32_t>(sequence) >= step_.decode_count) {
      row_begins[sequence - static_cast<size_t>(step_.decode_count)] = static_cast<int32_t>(row);
      step_.prefill_rows_max = std::max(step_.prefill_rows_max, slice.count);
    }
    for (int32_t i = 0; i < slice.count; ++i, ++row) {
      const bool pending = slice.last_token_pending && i + 1 == slice.count;
      tokens[row] = pending ? PendingToken(static_cast<int32_t>(slice.slot))
                            : slice.tokens[static_cast<size_t>(i)];
      positions[row] = slice.begin + i;
      sequences[row] = static_cast<int32_t>(sequence);
    }
  }
  row_begins.back() = static_cast<int32_t>(row);

  // Decoding rows nearly all sample: the head takes them as they are.
  sampled_count_ = 0;
  for (const StepRow& r : rows) sampled_count_ += r.slice.samples ? 1 : 0;
  head_row_count_ = sampled_count_;
  if (is_decode_ && sampled_count_ > 0) head_row_count_ = step_.rows;
  const std::span<int32_t> head_rows = Add(static_cast<size_t>(head_row_count_), head_rows_);
  if (is_decode_) {
    for (size_t i = 0; i < head_rows.size(); ++i) head_rows[i] = static_cast<int32_t>(i);
    return;
  }
  size_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].slice.samples) head_rows[next++] = first_rows_[i] + rows[i].slice.count - 1;
  }
}

void StepMetadata::PlaceBlocks(std::span<const StepRow> rows) {
  size_t count = 0;
  const auto blocks_of = [&](int32_t index) {
    const StepSlice& slice = rows[static_cast<size_t>(index)].slice;
    return slice.blocks.first(static_cast<size_t>(BlocksFor(slice.begin + slice.count)));
  };
  for (size_t sequence = 0; sequence < order_.size(); ++sequence) {
    table_begins_[sequence] = static_cast<int32_t>(count);
    count += blocks_of(order_[sequence]).size();
  }
  const std::span<int32_t> blocks = Add(count, step_.table.blocks);
  size_t next = 0;
  for (const int32_t index : order_) {
    for (const BlockId block : blocks_of(index)) blocks[next++] = static_cast<int32_t>(block);
  }
}

void StepMetadata::PlaceSampling(std::span<const StepRow> rows) {
  const std::span<SamplingRow> sampling = Add(static_cast<size_t>(sampled_count_), sampling_rows_);
  const std::span<int32_t> logits_rows = Add(static_cast<size_t>(sampled_count_), logits_rows_);
  bias_list_.clear();
  int32_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const StepRow& row = rows[i];
    if (!row.slice.samples) continue;
    const SamplingParams& params = *row.sampling;
    const auto slot = static_cast<int32_t>(row.slice.slot);
    sampling[static_cast<size_t>(next)] = {.temperature = params.temperature,
                                           .top_p = params.top_p,
                                           .min_p = params.min_p,
                                           .presence_penalty = params.presence_penalty,
                                           .frequency_penalty = params.frequency_penalty,
                                           .repetition_penalty = params.repetition_penalty,
                                           .top_k = params.top_k,
                                           .slot = params.needs_history() ? slot : -1,
                                           .sampled_slot = slot,
                                           .seed = params.seed,
                                           .position = row.slice.begin + row.slice.count};
    logits_rows[static_cast<size_t>(next)] = is_decode_ ? first_rows_[i] : next;
    const auto banned = [&](TokenId token) {
      return std::ranges::find(row.banned, token) != row.banned.end();
    };
    for (const auto& [token, bias] : params.logit_bias) {
      if (!banned(token)) bias_list_.push_back({.row = next, .token = token, .bias = bias});
    }
    const size_t banned_count = std::min<size_t>(row.banned.size(), kBannedMax);
    CHECK(banned_count == row.banned.size());
    for (const TokenId token : row.banned) {
      bias_list_.push_back(
          {.row = next, .token = token, .bias = -std::numeric_limits<float>::infinity()});
    }
    ++next;
  }
  bias_count_ = static_cast<int32_t>(bias_list_.size());
  std::ranges::copy(bias_list_, Add(bias_list_.size(), biases_).begin());
}

void StepMetadata::PlaceScores(std::span<const StepRow> rows) {
  score_list_.clear();
  top_counts_.clear();
  turns_.clear();
  int32_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].slice.samples) continue;
    const int32_t top = rows[i].sampling->top_logprobs;
    if (top >= 0) {
      score_list_.push_back({.logits_row = is_decode_ ? first_rows_[i] : next,
                             .token = -1,
                             .sampled_row = next,
                             .top_count = top});
      top_counts_.push_back(top);
    }
    ++next;
  }
  sampled_score_count_ = static_cast<int32_t>(score_list_.size());
  std::ranges::copy(score_list_, Add(score_list_.size(), sampled_scores_).begin());

  score_list_.clear();
  order_.clear();  // from here on: the rows that score the prompts
  for (size_t i = 0; i < rows.size(); ++i) {
    const StepRow& row = rows[i];
    for (int32_t position = row.score_begin; position < row.score_end; ++position) {
      order_.push_back(first_rows_[i] + position - 1 - row.slice.begin);
      score_list_.push_back(
          {.token = row.history[static_cast<size_t>(position)], .top_count = row.score_top});
      top_counts_.push_back(row.score_top);
    }
  }
  const auto at_once = static_cast<size_t>(limits_.sequences_max);
  for (size_t first = 0; first < order_.size(); first += at_once) {
    const size_t count = std::min(at_once, order_.size() - first);
    ScoreTurn turn = {.row_count = static_cast<int32_t>(count)};
    const std::span<int32_t> turn_rows = Add(count, turn.rows);
    const std::span<TokenToScore> tokens = Add(count, turn.tokens);
    for (size_t i = 0; i < count; ++i) {
      turn_rows[i] = order_[first + i];
      tokens[i] = score_list_[first + i];
      tokens[i].logits_row = static_cast<int32_t>(i);
    }
    turns_.push_back(turn);
  }
}

}  // namespace spillway
