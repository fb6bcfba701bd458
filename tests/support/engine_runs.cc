#include "tests/support/engine_runs.h"

#include <bit>
#include <map>
#include <string>
#include <utility>

#include "common/check.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

constexpr int kTurnsMax = 20'000;

// A vocabulary of any size: what the tokens read as doesn't matter.
std::unique_ptr<Tokenizer> MakeTokenizer(int32_t vocabulary_size) {
  TokenizerSpec spec = ByteVocabulary();
  while (static_cast<int32_t>(spec.tokens.size()) < vocabulary_size) {
    spec.tokens.push_back("t" + std::to_string(spec.tokens.size()));
    spec.types.push_back(TokenizerSpec::TokenType::kNormal);
  }
  return *Tokenizer::Create(std::move(spec));
}

std::unique_ptr<Executor> MakeExecutor(const ModelSpec& spec, const TensorSource& tensors,
                                       const EngineWay& way, int32_t sequence_tokens_max) {
  absl::StatusOr<std::unique_ptr<Executor>> executor =
      MakeCpuExecutor(spec, tensors,
                      {.threads = way.threads,
                       .running_max = way.running_max,
                       .step_tokens_max = way.step_tokens,
                       .block_count = way.block_count,
                       .sequence_tokens_max = sequence_tokens_max,
                       .isa = way.isa});
  CHECK(executor.ok());
  return *std::move(executor);
}

SchedulerLimits LimitsFor(const ExecutorShape& shape, bool prefix_cache) {
  SchedulerLimits limits;
  limits.running_max = shape.running_max;
  limits.step_tokens_max = shape.step_tokens_max;
  limits.block_tokens = shape.block_tokens;
  limits.block_count = shape.block_count;
  limits.sequence_tokens_max = shape.sequence_tokens_max;
  limits.prefix_cache = prefix_cache;
  return limits;
}

TokenBits BitsOf(const TokenLogprobs& logprobs) {
  TokenBits bits = {static_cast<uint32_t>(logprobs.token),
                    std::bit_cast<uint32_t>(logprobs.logprob.value_or(0)),
                    static_cast<uint32_t>(logprobs.rank)};
  for (const TokenLogprob& top : logprobs.top) {
    bits.push_back(static_cast<uint32_t>(top.token));
    bits.push_back(std::bit_cast<uint32_t>(top.logprob));
  }
  return bits;
}

}  // namespace

class EngineRuns::Sink : public EngineSink {
 public:
  void OnStep(std::span<EngineEvent> events, const EngineLoad& load) override {
    load_ = load;
    for (const EngineEvent& event : events) {
      EngineRun& run = runs_[event.sequence];
      CHECK(!std::holds_alternative<FailedEvent>(event.what));
      if (const auto* delta = std::get_if<DeltaEvent>(&event.what)) {
        run.tokens.insert(run.tokens.end(), delta->tokens.begin(), delta->tokens.end());
        for (const TokenLogprobs& logprobs : delta->logprobs) {
          if (!logprobs.logprob.has_value()) continue;
          (logprobs.of_prompt ? run.prompt : run.output).push_back(BitsOf(logprobs));
        }
      } else if (const auto* ended = std::get_if<EndedEvent>(&event.what)) {
        run.cached_tokens = ended->usage.cached_tokens;
        ++ended_;
      }
    }
  }

  size_t ended() const { return ended_; }
  EngineRun& run(uint64_t id) { return runs_[SequenceId{id}]; }
  const EngineLoad& load() const { return load_; }

 private:
  std::map<SequenceId, EngineRun> runs_;
  size_t ended_ = 0;
  EngineLoad load_;
};

EngineRuns::EngineRuns(const ModelSpec& spec, const TensorSource& tensors, const EngineWay& way,
                       int32_t sequence_tokens_max)
    : way_(way),
      tokenizer_(MakeTokenizer(spec.vocabulary_size)),
      executor_(MakeExecutor(spec, tensors, way, sequence_tokens_max)),
      sink_(std::make_unique<Sink>()),
      engine_({}, LimitsFor(executor_->shape(), way.prefix_cache), *executor_, *tokenizer_, clock_,
              *sink_) {}

EngineRuns::~EngineRuns() = default;

std::vector<EngineRun> EngineRuns::Run(const std::vector<EngineRequest>& requests) {
  const uint64_t first = next_id_;
  next_id_ += requests.size();
  size_t submitted = 0;
  for (int turn = 0; sink_->ended() < next_id_; ++turn) {
    CHECK(turn < kTurnsMax);
    while (submitted < requests.size() &&
           turn >= static_cast<int>(submitted) * way_.turns_between_arrivals) {
      EngineRequest request = requests[submitted];
      request.id = SequenceId{first + submitted};
      // All of an equal age, but for the order in which they come.
      request.arrival = absl::UnixEpoch() + absl::Microseconds(first + submitted);
      CHECK(engine_.Submit(std::move(request)));
      ++submitted;
    }
    CHECK(engine_.RunOnce(absl::ZeroDuration()).ok());
  }
  preemptions_ = sink_->load().preemptions;
  std::vector<EngineRun> runs;
  for (uint64_t id = first; id < next_id_; ++id) runs.push_back(std::move(sink_->run(id)));
  return runs;
}

}  // namespace spillway
