#include "worker/cuda/cuda_executor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/device/cuda_device.h"
#include "worker/executor_checks.h"

namespace spillway {
namespace {

// What a step was, for messages: errors of kernels come when somebody waits, nameless.
std::string DescribeStep(const StepMetadata& plan) {
  const CudaStep& step = plan.step();
  return absl::StrCat("a step of ", step.rows, " rows (", step.decode_count,
                      " sequences that decode, ", step.prefill_count, " that prefill)");
}

absl::Status StepFailed(const StepMetadata& plan, const absl::Status& status) {
  return absl::InternalError(
      absl::StrCat("the GPU failed in ", DescribeStep(plan), ": ", status.message(),
                   ". With CUDA_LAUNCH_BLOCKING=1 the message names the kernel"));
}

}  // namespace

CudaExecutor::CudaExecutor(std::unique_ptr<CudaMachine> machine, const CudaDecoderLimits& limits,
                           Names names, bool graphs)
    : machine_(std::move(machine)),
      limits_(limits),
      names_(std::move(names)),
      use_graphs_(graphs),
      slot_counts_(static_cast<size_t>(limits.sequences_max)) {}

absl::StatusOr<std::unique_ptr<CudaExecutor>> CudaExecutor::Create(
    std::unique_ptr<CudaMachine> machine, const CudaDecoderLimits& limits, Names names,
    bool graphs) {
  std::unique_ptr<CudaExecutor> executor(
      new CudaExecutor(std::move(machine), limits, std::move(names), graphs));
  RETURN_IF_ERROR(executor->Allocate());
  return executor;
}

// Pinned memory and graphs must not go while the device may still use them.
CudaExecutor::~CudaExecutor() { stream_.Synchronize().IgnoreError(); }

absl::Status CudaExecutor::Allocate() {
  const int64_t vocabulary = machine_->spec.vocabulary_size;
  const int64_t sequences = limits_.sequences_max;
  const StepMetadataLimits metadata = {.rows_max = limits_.rows_max,
                                       .sequences_max = limits_.sequences_max,
                                       .positions_max = limits_.positions_max,
                                       .units_max = CudaDecoder::UnitsMax(limits_)};
  const int64_t metadata_bytes = StepMetadata::BytesMax(metadata);
  ASSIGN_OR_RETURN(stream_, Stream::Create());
  ASSIGN_OR_RETURN(metadata_, DeviceBuffer<std::byte>::Allocate(metadata_bytes));
  ASSIGN_OR_RETURN(sampled_, DeviceBuffer<int32_t>::Allocate(sequences));
  ASSIGN_OR_RETURN(counts_, DeviceBuffer<uint32_t>::Allocate(sequences * vocabulary));
  ASSIGN_OR_RETURN(history_, DeviceBuffer<int32_t>::Allocate(limits_.positions_max));
  ASSIGN_OR_RETURN(adjusted_, DeviceBuffer<float>::Allocate(sequences * vocabulary));
  ASSIGN_OR_RETURN(partials_,
                   DeviceBuffer<float>::Allocate(
                       sequences * SamplingBatch::PartialsPerRow(machine_->spec.vocabulary_size)));
  ASSIGN_OR_RETURN(tokens_, DeviceBuffer<int32_t>::Allocate(sequences));
  ASSIGN_OR_RETURN(scores_, DeviceBuffer<ScoredToken>::Allocate(scores_max()));
  for (Flight& flight : flights_) {
    ASSIGN_OR_RETURN(flight.metadata, PinnedBuffer<std::byte>::Allocate(metadata_bytes));
    ASSIGN_OR_RETURN(flight.tokens, PinnedBuffer<int32_t>::Allocate(sequences));
    ASSIGN_OR_RETURN(flight.scores, PinnedBuffer<ScoredToken>::Allocate(scores_max()));
    ASSIGN_OR_RETURN(flight.done, Event::Create());
    flight.plan.emplace(metadata, flight.metadata.span(), metadata_.data());
  }
  return FillAsync(stream_, sampled_.data(), 0, sampled_.bytes());
}

absl::Status CudaExecutor::ReleaseCache() {
  CHECK(launched_count_ == collected_count_);
  RETURN_IF_ERROR(stream_.Synchronize());
  graphs_.clear();  // they have the addresses of the KV memory
  graph_count_ = 0;
  const CudaKvCache released = std::move(machine_->cache);
  return absl::OkStatus();
}

absl::Status CudaExecutor::Resize(const ExecutorShape& shape) {
  RETURN_IF_ERROR(ReleaseCache());
  ASSIGN_OR_RETURN(machine_->cache,
                   CudaKvCache::Allocate(machine_->dimensions, machine_->weights.type(),
                                         machine_->spec.layer_count, shape.block_count));
  machine_->decoder->set_cache(machine_->cache);
  shape_ = shape;
  return absl::OkStatus();
}

absl::StatusOr<Ticket> CudaExecutor::Launch(std::span<const StepRow> rows) {
  CHECK(launched_count_ - collected_count_ < kTicketsInFlightMax);
  CHECK(static_cast<int32_t>(rows.size()) <= shape_.running_max);
  int64_t tokens = 0;
  for (const StepRow& row : rows) {
    CheckStepRow(row, shape_);
    CHECK(row.score_top <= kTopTokensMax);
    tokens += row.slice.count;
  }
  CHECK(tokens <= shape_.step_tokens_max);
  // The device is a thread's: the one that launches need not be the one that loaded.
  RETURN_IF_ERROR(UseCudaDevice(machine_->device));
  Flight& flight = flights_[launched_count_ % kTicketsInFlightMax];
  flight.plan->Build(rows);
  flight.is_scored.clear();
  for (const StepRow& row : rows) {
    if (row.slice.samples) flight.is_scored.push_back(row.sampling->top_logprobs >= 0);
  }
  const absl::Status queued = Queue(flight, rows);
  if (!queued.ok()) return StepFailed(*flight.plan, queued);
  flight.ticket = Ticket{++launched_count_};
  return flight.ticket;
}

absl::Status CudaExecutor::Queue(Flight& flight, std::span<const StepRow> rows) {
  const StepMetadata& plan = *flight.plan;
  if (!rows.empty()) {
    RETURN_IF_ERROR(CopyAsync(stream_, metadata_.data(), flight.metadata.data(), plan.bytes()));
    RETURN_IF_ERROR(QueueForward(plan));
    RETURN_IF_ERROR(QueueCounts(rows));
    RETURN_IF_ERROR(QueueSampling(plan));
    RETURN_IF_ERROR(QueueScores(plan));
    RETURN_IF_ERROR(QueueResults(flight));
  }
  return flight.done.Record(stream_);
}

absl::Status CudaExecutor::QueueForward(const StepMetadata& plan) {
  const bool as_graph = use_graphs_ && plan.is_decode() && plan.head_row_count() > 0;
  return as_graph ? QueueDecodeGraph(plan) : QueueForwardAndHead(plan);
}

absl::Status CudaExecutor::QueueForwardAndHead(const StepMetadata& plan) {
  RETURN_IF_ERROR(machine_->decoder->Forward(stream_, plan.step(), sampled_.data()));
  return machine_->decoder->ComputeLogits(stream_, plan.head_rows(), plan.head_row_count());
}

// A size's first step runs as it is: what is loaded or chosen at the first call of a kernel can't
// be while a graph is recorded.
absl::Status CudaExecutor::QueueDecodeGraph(const StepMetadata& plan) {
  DecodeGraph& entry = graphs_[{plan.step().rows, plan.step().unit_count}];
  if (++entry.uses == 1) return QueueForwardAndHead(plan);
  if (!entry.graph.has_value()) {
    if (graph_count_ >= kGraphsMax) return QueueForwardAndHead(plan);
    ASSIGN_OR_RETURN(entry.graph,
                     Graph::Capture(stream_, [&] { return QueueForwardAndHead(plan); }));
    ++graph_count_;
  }
  return entry.graph->Launch(stream_);
}

absl::Status CudaExecutor::QueueCounts(std::span<const StepRow> rows) {
  for (const StepRow& row : rows) {
    if (!row.slice.samples) continue;
    SlotCounts& state = slot_counts_[static_cast<size_t>(row.slice.slot)];
    if (!row.sampling->needs_history()) {
      state.counted = -1;
      continue;
    }
    const int64_t known = static_cast<int64_t>(row.history.size()) + row.slice.last_token_pending;
    if (state.sequence != row.slice.sequence || state.counted != known) {
      RETURN_IF_ERROR(RecountSlot(row));
    }
    state = {.sequence = row.slice.sequence, .counted = known + 1};  // with what is sampled now
  }
  return absl::OkStatus();
}

// Once for a sequence that starts. The history isn't page-locked: the copy is staged, which may
// wait for the step before.
absl::Status CudaExecutor::RecountSlot(const StepRow& row) {
  const auto slot = static_cast<int32_t>(row.slice.slot);
  const int32_t vocabulary = machine_->spec.vocabulary_size;
  CHECK(static_cast<int64_t>(row.history.size()) <= history_.size());
  RETURN_IF_ERROR(FillAsync(stream_, counts_.data() + int64_t{slot} * vocabulary, 0,
                            int64_t{vocabulary} * static_cast<int64_t>(sizeof(uint32_t))));
  RETURN_IF_ERROR(history_.CopyFrom(stream_, row.history));
  TokenCounts tokens = {.count = row.prompt_tokens,
                        .vocabulary = vocabulary,
                        .slot = slot,
                        .tokens = history_.data(),
                        .counts = counts_.data()};
  RETURN_IF_ERROR(CountTokensCuda(stream_, tokens));
  tokens.output = true;
  tokens.tokens = history_.data() + row.prompt_tokens;
  tokens.count = static_cast<int32_t>(row.history.size()) - row.prompt_tokens;
  RETURN_IF_ERROR(CountTokensCuda(stream_, tokens));
  if (!row.slice.last_token_pending) return absl::OkStatus();
  tokens.tokens = sampled_.data() + slot;
  tokens.count = 1;
  return CountTokensCuda(stream_, tokens);
}

absl::Status CudaExecutor::QueueSampling(const StepMetadata& plan) {
  return SampleCuda(stream_, {.rows = plan.sampled_count(),
                              .vocabulary = machine_->spec.vocabulary_size,
                              .logits = machine_->decoder->logits(),
                              .logits_stride = machine_->decoder->logits_stride(),
                              .logits_rows = plan.logits_rows(),
                              .params = plan.sampling_rows(),
                              .biases = plan.biases(),
                              .bias_count = plan.bias_count(),
                              .counts = counts_.data(),
                              .count_sampled = true,
                              .adjusted = adjusted_.data(),
                              .partials = partials_.data(),
                              .tokens = tokens_.data(),
                              .sampled = sampled_.data()});
}

// The decoder has room for the logits of a few rows only, so those of a prompt are computed in
// turns when all else is done with the ones before.
absl::Status CudaExecutor::QueueScores(const StepMetadata& plan) {
  TokenScores scores = {.count = plan.sampled_score_count(),
                        .vocabulary = machine_->spec.vocabulary_size,
                        .logits = machine_->decoder->logits(),
                        .logits_stride = machine_->decoder->logits_stride(),
                        .tokens = plan.sampled_scores(),
                        .sampled = tokens_.data(),
                        .scores = scores_.data()};
  RETURN_IF_ERROR(ScoreTokensCuda(stream_, scores));
  for (const ScoreTurn& turn : plan.turns()) {
    RETURN_IF_ERROR(machine_->decoder->ComputeLogits(stream_, turn.rows, turn.row_count));
    scores.scores += scores.count;
    scores.count = turn.row_count;
    scores.tokens = turn.tokens;
    RETURN_IF_ERROR(ScoreTokensCuda(stream_, scores));
  }
  return absl::OkStatus();
}

absl::Status CudaExecutor::QueueResults(Flight& flight) {
  const StepMetadata& plan = *flight.plan;
  RETURN_IF_ERROR(tokens_.CopyTo(
      stream_, flight.tokens.span().first(static_cast<size_t>(plan.sampled_count()))));
  // Where nobody asks for scores, as nearly always, there is one copy.
  return scores_.CopyTo(stream_, flight.scores.span().first(plan.top_counts().size()));
}

absl::StatusOr<std::span<const SampledToken>> CudaExecutor::Collect(Ticket ticket) {
  CHECK(collected_count_ < launched_count_);
  CHECK(ticket == Ticket{collected_count_ + 1});
  RETURN_IF_ERROR(UseCudaDevice(machine_->device));
  const Flight& flight = flights_[collected_count_ % kTicketsInFlightMax];
  CHECK(flight.ticket == ticket);
  const absl::Status ran = flight.done.Synchronize();
  if (!ran.ok()) return StepFailed(*flight.plan, ran);
  ++collected_count_;
  ReadResults(flight);
  return collected_;
}

void CudaExecutor::ReadResults(const Flight& flight) {
  const StepMetadata& plan = *flight.plan;
  const std::span<const int32_t> top_counts = plan.top_counts();
  const std::span<const ScoredToken> from = flight.scores.span().first(top_counts.size());
  size_t top_count = 0;
  for (const int32_t count : top_counts) top_count += static_cast<size_t>(count);
  top_.resize(top_count);
  size_t next_top = 0;
  size_t next = 0;
  const auto read_score = [&] {
    const ScoredToken& score = from[next];
    const auto count = static_cast<size_t>(top_counts[next++]);
    if (std::isnan(score.logprob)) return TokenScore{.logprob = score.logprob};
    const auto top = std::span(top_).subspan(next_top, count);
    next_top += count;
    for (size_t i = 0; i < count; ++i) top[i] = {score.top_tokens[i], score.top_logprobs[i]};
    return TokenScore{.logprob = score.logprob, .rank = score.rank, .top = top};
  };
  collected_.clear();
  for (size_t i = 0; i < flight.is_scored.size(); ++i) {
    SampledToken token = {.token = flight.tokens.data()[i]};
    if (flight.is_scored[i]) {
      const TokenScore score = read_score();
      if (token.token != SampledToken::kNone) token.score = score;
    }
    collected_.push_back(token);
  }
  scored_.clear();
  while (next < from.size()) scored_.push_back(read_score());
}

}  // namespace spillway
