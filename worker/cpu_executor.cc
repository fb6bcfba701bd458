#include "worker/cpu_executor.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/bounded_queue.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/cpu_memory.h"
#include "worker/device/thread_team.h"
#include "worker/executor_checks.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/numerics.h"
#include "worker/model/decoder.h"
#include "worker/model/kv_cache.h"
#include "worker/model/weights.h"
#include "worker/sampling/logprob_scorer.h"
#include "worker/sampling/sampler.h"

namespace spillway {
namespace {

// Executor's promise to callers, and so the depth of both queues: one step runs, one waits.
constexpr int32_t kTicketsInFlightMax = 2;

constexpr TokenId kNoToken = SampledToken::kNone;

// A row of a launched step: StepRow with what Launch() had to copy.
struct RowCopy {
  int32_t slot = 0;
  int32_t begin = 0;
  int32_t first_token = 0;  // in LaunchedStep::tokens
  int32_t token_count = 0;
  int32_t first_block = 0;  // in LaunchedStep::blocks
  int32_t block_count = 0;
  bool last_token_pending = false;
  bool samples = false;
  const SamplingParams* sampling = nullptr;
  std::span<const TokenId> history;
  int32_t prompt_tokens = 0;
  std::span<const TokenId> banned;
  TokenMask* mask = nullptr;
  int32_t score_begin = 0;
  int32_t score_end = 0;
  int32_t score_top = 0;
};

// What a step brought.
struct StepResult {
  std::vector<SampledToken> sampled;
  std::vector<TokenScore> scored;
  std::vector<TokenLogprob> top;  // what the scores point to
};

// Belongs to the engine thread until it is launched, then to the executor thread until it is
// finished, then to the engine thread again. Reused, so that the steady state allocates nothing.
struct LaunchedStep {
  Ticket ticket{};
  std::vector<RowCopy> rows;
  std::vector<TokenId> tokens;  // a pending one is a hole, filled when the step runs
  std::vector<int32_t> blocks;
  StepResult result;
};

// What the executor's own thread works with.
struct Machine {
  Machine(const ModelSpec& model_spec, int32_t thread_count)
      : spec(model_spec), team(thread_count) {}

  const ModelSpec spec;
  ThreadTeam team;
  ModelWeights weights;
  KvCache cache;
  std::unique_ptr<Decoder> decoder;
};

class CpuExecutor : public Executor {
 public:
  CpuExecutor(std::unique_ptr<Machine> machine, const ExecutorShape& shape, std::string device_name,
              std::string numerics_id);
  ~CpuExecutor() override;

  absl::StatusOr<Ticket> Launch(std::span<const StepRow> rows) override;
  absl::StatusOr<std::span<const SampledToken>> Collect(Ticket ticket) override;
  std::span<const TokenScore> prompt_scores() const override { return collected_.scored; }
  bool takes_masks() const override { return true; }
  const ExecutorShape& shape() const override { return shape_; }
  std::string device_name() const override { return device_name_; }
  std::string numerics_id() const override { return numerics_id_; }

 private:
  void CopyRow(const StepRow& row, LaunchedStep& step);

  // Executor thread only.
  void RunSteps();
  void RunStep(LaunchedStep& step);
  // Lists the prompts' tokens to score, and makes room for all that the step brings.
  void PlanScores(LaunchedStep& step);
  void Sample(LaunchedStep& step);
  void Score(LaunchedStep& step);
  void SampleRow(const RowCopy& row, TokenId last_token, int32_t thread,
                 std::span<const float> logits, std::span<TokenLogprob> top, SampledToken& out);

  const ExecutorShape shape_;
  const std::string device_name_;
  const std::string numerics_id_;

  // Engine thread only.
  LaunchedStep steps_[kTicketsInFlightMax];
  int64_t launched_count_ = 0;
  int64_t collected_count_ = 0;
  StepResult collected_;

  // Executor thread only.
  const std::unique_ptr<Machine> machine_;
  std::vector<DecoderSlice> slices_;
  std::vector<int32_t> sampling_rows_;  // of the step that runs
  std::vector<TokenId> last_tokens_;    // [slots]: the latest sampled
  struct Scored {
    int32_t row = 0;  // of the decoder, whose logits say it
    TokenId token = 0;
    size_t first_top = 0;  // in StepResult::top
    size_t top_count = 0;
  };
  std::vector<size_t> first_top_;       // [sampling rows + 1]: places in StepResult::top
  std::vector<Scored> scored_;          // of the step that runs
  std::vector<int32_t> scored_rows_;    // of those whose logits are computed at once
  std::vector<Sampler> samplers_;       // [threads]
  std::vector<LogprobScorer> scorers_;  // [threads]

  BoundedQueue<LaunchedStep*> launched_{kTicketsInFlightMax};
  BoundedQueue<LaunchedStep*> finished_{kTicketsInFlightMax};
  std::thread thread_;  // last: it uses all of the above
};

CpuExecutor::CpuExecutor(std::unique_ptr<Machine> machine, const ExecutorShape& shape,
                         std::string device_name, std::string numerics_id)
    : shape_(shape),
      device_name_(std::move(device_name)),
      numerics_id_(std::move(numerics_id)),
      machine_(std::move(machine)),
      last_tokens_(static_cast<size_t>(shape.running_max), kNoToken) {
  for (int32_t i = 0; i < machine_->team.size(); ++i) {
    samplers_.emplace_back(shape.vocabulary_size);
    scorers_.emplace_back(shape.vocabulary_size);
  }
  thread_ = std::thread([this] { RunSteps(); });
  pthread_setname_np(thread_.native_handle(), "executor");
}

CpuExecutor::~CpuExecutor() {
  launched_.Close();
  thread_.join();
}

absl::StatusOr<Ticket> CpuExecutor::Launch(std::span<const StepRow> rows) {
  CHECK(launched_count_ - collected_count_ < kTicketsInFlightMax);
  CHECK(static_cast<int32_t>(rows.size()) <= shape_.running_max);
  LaunchedStep& step = steps_[launched_count_ % kTicketsInFlightMax];
  step.ticket = Ticket{++launched_count_};
  step.rows.clear();
  step.tokens.clear();
  step.blocks.clear();
  for (const StepRow& row : rows) {
    CheckStepRow(row, shape_);
    CopyRow(row, step);
  }
  CHECK(static_cast<int32_t>(step.tokens.size()) <= shape_.step_tokens_max);
  CHECK(launched_.TryPush(&step));
  return step.ticket;
}

void CpuExecutor::CopyRow(const StepRow& row, LaunchedStep& step) {
  const StepSlice& slice = row.slice;
  step.rows.push_back({.slot = static_cast<int32_t>(slice.slot),
                       .begin = slice.begin,
                       .first_token = static_cast<int32_t>(step.tokens.size()),
                       .token_count = slice.count,
                       .first_block = static_cast<int32_t>(step.blocks.size()),
                       .block_count = static_cast<int32_t>(slice.blocks.size()),
                       .last_token_pending = slice.last_token_pending,
                       .samples = slice.samples,
                       .sampling = row.sampling,
                       .history = row.history,
                       .prompt_tokens = row.prompt_tokens,
                       .banned = row.banned,
                       .mask = row.mask,
                       .score_begin = row.score_begin,
                       .score_end = row.score_end,
                       .score_top = row.score_top});
  step.tokens.insert(step.tokens.end(), slice.tokens.begin(), slice.tokens.end());
  if (slice.last_token_pending) step.tokens.push_back(kNoToken);
  for (const BlockId block : slice.blocks) step.blocks.push_back(static_cast<int32_t>(block));
}

absl::StatusOr<std::span<const SampledToken>> CpuExecutor::Collect(Ticket ticket) {
  CHECK(collected_count_ < launched_count_);
  CHECK(ticket == Ticket{collected_count_ + 1});
  const std::optional<LaunchedStep*> step = finished_.Pop();
  CHECK(step.has_value() && (*step)->ticket == ticket);
  ++collected_count_;
  // The next Launch() may reuse the step while the caller still reads.
  std::swap(collected_, (*step)->result);
  return collected_.sampled;
}

void CpuExecutor::RunSteps() {
  while (const std::optional<LaunchedStep*> step = launched_.Pop()) {
    RunStep(**step);
    LaunchedStep* finished = *step;
    CHECK(finished_.TryPush(std::move(finished)));
  }
}

void CpuExecutor::RunStep(LaunchedStep& step) {
  slices_.clear();
  sampling_rows_.clear();
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const RowCopy& row = step.rows[i];
    const auto tokens =
        std::span(step.tokens)
            .subspan(static_cast<size_t>(row.first_token), static_cast<size_t>(row.token_count));
    if (row.last_token_pending) {
      tokens.back() = last_tokens_[static_cast<size_t>(row.slot)];
      // A row without numbers is about to fail: what follows in the pipeline is thrown away.
      if (tokens.back() == kNoToken) tokens.back() = 0;
    }
    slices_.push_back({.begin = row.begin,
                       .tokens = tokens,
                       .blocks = std::span(step.blocks)
                                     .subspan(static_cast<size_t>(row.first_block),
                                              static_cast<size_t>(row.block_count)),
                       .logits = row.samples});
    if (row.samples) sampling_rows_.push_back(static_cast<int32_t>(i));
  }
  machine_->decoder->Forward(slices_);
  PlanScores(step);
  Sample(step);
  Score(step);
}

void CpuExecutor::PlanScores(LaunchedStep& step) {
  first_top_.assign(1, 0);
  for (const int32_t row : sampling_rows_) {
    const int32_t top = step.rows[static_cast<size_t>(row)].sampling->top_logprobs;
    first_top_.push_back(first_top_.back() + static_cast<size_t>(std::max(top, 0)));
  }
  size_t top_count = first_top_.back();
  scored_.clear();
  for (const RowCopy& row : step.rows) {
    for (int32_t position = row.score_begin; position < row.score_end; ++position) {
      scored_.push_back({.row = row.first_token + position - 1 - row.begin,
                         .token = row.history[static_cast<size_t>(position)],
                         .first_top = top_count,
                         .top_count = static_cast<size_t>(row.score_top)});
      top_count += static_cast<size_t>(row.score_top);
    }
  }
  step.result.sampled.resize(sampling_rows_.size());
  step.result.scored.resize(scored_.size());
  step.result.top.resize(top_count);
}

void CpuExecutor::Sample(LaunchedStep& step) {
  const auto count = static_cast<int32_t>(sampling_rows_.size());
  StepResult& result = step.result;
  if (count == 0) return;
  machine_->team.Run([&](int32_t thread) {
    const auto [begin, end] = ShareOf(thread, machine_->team.size(), count);
    for (int32_t i = begin; i < end; ++i) {
      const auto place = static_cast<size_t>(i);
      const RowCopy& row = step.rows[static_cast<size_t>(sampling_rows_[place])];
      const TokenId last_token =
          step.tokens[static_cast<size_t>(row.first_token + row.token_count - 1)];
      const auto top = std::span(result.top)
                           .subspan(first_top_[place], first_top_[place + 1] - first_top_[place]);
      SampleRow(row, last_token, thread, machine_->decoder->logits(i), top, result.sampled[place]);
    }
  });
  for (int32_t i = 0; i < count; ++i) {
    const RowCopy& row = step.rows[static_cast<size_t>(sampling_rows_[static_cast<size_t>(i)])];
    last_tokens_[static_cast<size_t>(row.slot)] = result.sampled[static_cast<size_t>(i)].token;
  }
}

// The decoder has room for the logits of a few rows only, so a chunk's are computed in turns.
void CpuExecutor::Score(LaunchedStep& step) {
  const auto at_once = static_cast<size_t>(shape_.running_max);
  for (size_t first = 0; first < scored_.size(); first += at_once) {
    const size_t size = std::min(at_once, scored_.size() - first);
    scored_rows_.clear();
    for (size_t i = 0; i < size; ++i) scored_rows_.push_back(scored_[first + i].row);
    machine_->decoder->ComputeLogits(scored_rows_);
    machine_->team.Run([&](int32_t thread) {
      const auto [begin, end] = ShareOf(thread, machine_->team.size(), static_cast<int32_t>(size));
      for (int32_t i = begin; i < end; ++i) {
        const size_t place = first + static_cast<size_t>(i);
        const Scored& scored = scored_[place];
        step.result.scored[place] = scorers_[static_cast<size_t>(thread)].Score(
            machine_->decoder->logits(i), scored.token,
            std::span(step.result.top).subspan(scored.first_top, scored.top_count));
      }
    });
  }
}

void CpuExecutor::SampleRow(const RowCopy& row, TokenId last_token, int32_t thread,
                            std::span<const float> logits, std::span<TokenLogprob> top,
                            SampledToken& out) {
  const TokenId pending = row.last_token_pending ? last_token : kNoToken;
  std::span<const int32_t> allowed;
  if (row.mask != nullptr) {
    allowed =
        row.mask->Allowed(row.history.subspan(static_cast<size_t>(row.prompt_tokens)), pending);
  }
  const absl::StatusOr<TokenId> token = samplers_[static_cast<size_t>(thread)].Sample(
      logits, *row.sampling,
      {.tokens = row.history, .pending = pending, .prompt_tokens = row.prompt_tokens}, row.banned,
      row.begin + row.token_count, allowed);
  out = {.token = token.ok() ? *token : SampledToken::kNone};
  if (token.ok() && row.sampling->top_logprobs >= 0) {
    out.score = scorers_[static_cast<size_t>(thread)].Score(logits, *token, top);
  }
}

absl::Status CheckOptions(const ModelSpec& spec, const CpuExecutorOptions& options) {
  if (options.block_tokens != kKvBlockTokens) {
    return absl::InvalidArgumentError(absl::StrCat("block_tokens is ", options.block_tokens,
                                                   "; the CPU kernels need ", kKvBlockTokens));
  }
  return CheckExecutorLimits(options.running_max, options.step_tokens_max,
                             options.sequence_tokens_max, spec.context_tokens_max);
}

absl::StatusOr<ExecutorShape> ShapeFor(const ModelSpec& spec, const TensorSource& tensors,
                                       const CpuExecutorOptions& options, int32_t threads) {
  RETURN_IF_ERROR(CheckOptions(spec, options));
  ASSIGN_OR_RETURN(const int64_t weights_bytes, ModelWeights::BytesFor(spec, tensors));
  return PlanCpuMemory(
      spec, weights_bytes,
      {.threads = threads,
       .running_max = options.running_max,
       .step_tokens_max = options.step_tokens_max,
       .sequence_tokens_max = options.sequence_tokens_max,
       .kv_bytes = options.block_count > 0 ? options.block_count * KvCache::BytesPerBlock(spec)
                                           : options.kv_bytes,
       .memory_bytes = options.memory_bytes,
       .memory_source = options.memory_source});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeCpuExecutor(const ModelSpec& spec,
                                                          const TensorSource& tensors,
                                                          const CpuExecutorOptions& options) {
  const CpuIsa isa = options.isa.value_or(SupportedCpuIsas().back());
  const int32_t threads = options.threads > 0 ? options.threads : UsableCoreCount();
  ASSIGN_OR_RETURN(const ExecutorShape shape, ShapeFor(spec, tensors, options, threads));
  auto machine = std::make_unique<Machine>(spec, threads);
  ASSIGN_OR_RETURN(machine->weights, ModelWeights::Load(machine->spec, tensors, machine->team));
  ASSIGN_OR_RETURN(machine->cache, KvCache::Allocate(machine->spec, shape.block_count));
  ASSIGN_OR_RETURN(machine->decoder,
                   Decoder::Make(machine->spec, machine->weights,
                                 {.tokens_max = shape.step_tokens_max,
                                  .slices_max = shape.running_max,
                                  .positions_max = shape.sequence_tokens_max},
                                 machine->cache, machine->team, CpuKernelsFor(isa)));
  // The instruction set is no part of the id: all give the same bits.
  return std::make_unique<CpuExecutor>(
      std::move(machine), shape,
      absl::StrCat("cpu, ", threads, threads == 1 ? " thread, " : " threads, ",
                   std::string(CpuIsaName(isa))),
      absl::StrCat("cpu-", kArithmeticVersion, "-", tensors.HeaderHash()));
}

}  // namespace spillway
