// bench_step_target: what a long prompt costs those who decode, and what sparing them costs it.
//
//   bench_step_target --model MODEL.gguf [--threads N] [--decoding N] [--prompt-tokens N]
//                     [--targets MS,MS,…] [--repetitions N]
//
// Through the real engine loop, scheduler and executor: N sequences decode; once each has 64
// tokens a prompt arrives that nothing of is cached. Prints for each target of a step (worker's
// --step-target, 0: none), over the repetitions:
//   gap before   median and longest time between two tokens of a sequence, before it arrives
//   gap while    the same while it is prefilled
//   over         how many of those gaps are longer than the target
//   first token  median time from the prompt's arrival to its first token
// One prompt goes first, unmeasured, so that step times are known, as in a worker that has served.
// What bounds it: the prompt's own computation; a short target cuts it into more, smaller steps,
// each of which reads all weights.

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "bench/engine_driver.h"
#include "common/check.h"
#include "common/clock.h"
#include "worker/engine_loop.h"
#include "worker/loaded_model.h"

namespace spillway {
namespace {

struct Options {
  WorkerFlags worker;
  int32_t decoding = 8;
  int32_t prompt_tokens = 4000;
  std::vector<int32_t> targets = {0, 100, 200, 400};
  int32_t repetitions = 3;
};

constexpr int32_t kShortPrompt = 32;
constexpr int32_t kTokensBefore = 64;

// When each sequence's tokens came.
class TokenTimes : public EngineSink {
 public:
  void OnStep(std::span<EngineEvent> events, const EngineLoad&) override {
    const double now = SecondsNow();
    for (const EngineEvent& event : events) {
      CHECK(!std::holds_alternative<FailedEvent>(event.what));
      if (const auto* delta = std::get_if<DeltaEvent>(&event.what)) {
        if (!delta->tokens.empty()) times_[event.sequence].push_back(now);
      }
    }
  }

  const std::vector<double>& Of(uint64_t id) { return times_[SequenceId{id}]; }

 private:
  std::map<SequenceId, std::vector<double>> times_;
};

struct Gaps {
  std::vector<double> seconds;

  // Those of `times` that end after `begin` and not after `end`.
  void Add(const std::vector<double>& times, double begin, double end) {
    for (size_t i = 1; i < times.size(); ++i) {
      if (times[i] > begin && times[i] <= end) seconds.push_back(times[i] - times[i - 1]);
    }
  }
  double median() {
    std::ranges::sort(seconds);
    return seconds.empty() ? 0 : seconds[seconds.size() / 2];
  }
  double longest() const { return seconds.empty() ? 0 : *std::ranges::max_element(seconds); }
};

SchedulerLimits LimitsFor(const ExecutorShape& shape, int32_t target_ms) {
  SchedulerLimits limits;
  if (target_ms > 0) limits.step_target = absl::Milliseconds(target_ms);
  limits.running_max = shape.running_max;
  limits.step_tokens_max = shape.step_tokens_max;
  limits.block_tokens = shape.block_tokens;
  limits.block_count = shape.block_count;
  limits.sequence_tokens_max = shape.sequence_tokens_max;
  return limits;
}

// An engine of its own for each target.
class Run {
 public:
  Run(const Options& options, LoadedDecoder& decoder, int32_t target_ms)
      : options_(options),
        target_ms_(target_ms),
        vocabulary_(decoder.executor->shape().vocabulary_size),
        engine_({}, LimitsFor(decoder.executor->shape(), target_ms), *decoder.executor,
                *decoder.tokenizer, clock_, times_) {}

  void Measure() {
    for (int32_t i = 0; i <= options_.repetitions; ++i) Once(/*counts=*/i > 0);
    const auto over =
        std::ranges::count_if(while_.seconds, [&](double gap) { return gap * 1e3 > target_ms_; });
    std::printf("%6d  %9.1f %9.1f  %9.1f %9.1f  %4ld of %-5zu %11.0f\n", target_ms_,
                before_.median() * 1e3, before_.longest() * 1e3, while_.median() * 1e3,
                while_.longest() * 1e3, target_ms_ > 0 ? static_cast<long>(over) : 0L,
                while_.seconds.size(), first_token_.median() * 1e3);
  }

 private:
  void Once(bool counts) {
    std::vector<uint64_t> decoding;
    for (int32_t i = 0; i < options_.decoding; ++i) decoding.push_back(Submit(kShortPrompt, 2000));
    RunUntil([&] {
      return std::ranges::all_of(
          decoding, [&](uint64_t id) { return times_.Of(id).size() >= kTokensBefore; });
    });
    const double arrival = SecondsNow();
    const uint64_t prompt = Submit(options_.prompt_tokens, 1);
    RunUntil([&] { return !times_.Of(prompt).empty(); });
    const double first = times_.Of(prompt).front();
    for (const uint64_t id : decoding) {
      const std::vector<double>& times = times_.Of(id);
      if (counts) before_.Add(times, times[kTokensBefore / 2], arrival);
      if (counts) while_.Add(times, arrival, first);
      engine_.Cancel(SequenceId{id});
    }
    if (counts) first_token_.seconds.push_back(first - arrival);
    for (int32_t i = 0; i < 4; ++i) CHECK(engine_.RunOnce(absl::ZeroDuration()).ok());
  }

  uint64_t Submit(int32_t prompt_tokens, int32_t new_tokens) {
    EngineRequest request;
    request.id = SequenceId{++last_id_};
    for (int32_t i = 0; i < prompt_tokens; ++i) {
      request.prompt.push_back(
          static_cast<TokenId>(random_() % static_cast<uint32_t>(vocabulary_)));
    }
    request.sampling.temperature = 0;
    request.new_tokens_max = new_tokens;
    request.ignore_end_of_text = true;
    request.arrival = clock_.Now();
    CHECK(engine_.Submit(std::move(request)));
    return last_id_;
  }

  template <typename Condition>
  void RunUntil(const Condition& condition) {
    while (!condition()) CHECK(engine_.RunOnce(absl::ZeroDuration()).ok());
  }

  const Options& options_;
  const int32_t target_ms_;
  const int32_t vocabulary_;
  const SystemClock clock_;
  TokenTimes times_;
  EngineLoop engine_;
  std::mt19937 random_{1};
  uint64_t last_id_ = 0;
  Gaps before_;
  Gaps while_;
  Gaps first_token_;
};

int Main(const Options& options) {
  absl::StatusOr<LoadedModel> model = LoadModel(options.worker);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().ToString().c_str());
    return 1;
  }
  LoadedDecoder* const decoder = std::get_if<LoadedDecoder>(&*model);
  if (decoder == nullptr) {
    std::fprintf(stderr, "this model embeds texts and decodes nothing\n");
    return 1;
  }
  std::printf("%s, %d sequences decode, a prompt of %d tokens; milliseconds\n",
              decoder->executor->device_name().c_str(), options.decoding, options.prompt_tokens);
  std::printf("            gap before           gap while\n");
  std::printf("target     median   longest     median   longest  over           first token\n");
  for (const int32_t target : options.targets) Run(options, *decoder, target).Measure();
  return 0;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  spillway::Options options;
  CLI::App app("Measures --step-target; the source's first lines are its manual.");
  app.add_option("--model", options.worker.model, "GGUF file")->required();
  app.add_option("--threads", options.worker.executor.threads, "0: one per usable core");
  app.add_option("--decoding", options.decoding)->check(CLI::Range(1, 60));
  app.add_option("--prompt-tokens", options.prompt_tokens)->check(CLI::Range(1, 8000));
  app.add_option("--targets", options.targets, "milliseconds, 0: none")->delimiter(',');
  app.add_option("--repetitions", options.repetitions)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return spillway::Main(options);
}
