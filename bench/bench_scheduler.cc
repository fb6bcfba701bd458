// What one step costs the scheduler: PlanStep and CompleteStep together, two plans in flight as in
// EngineLoop.
//
//   ninja -C build/release bench_scheduler && build/release/bin/bench_scheduler
//
// Goal (DESIGN §5): under 50 µs a step at 256 running sequences, one core. What bounds it: cache
// misses over the sequences' records, two of them each for PlanStep and CompleteStep.
//
//   Decode/N         N sequences decode, nobody waits.
//   DecodeFullQueue  256 decode while 1,024 wait for a slot.
//   BlockedHead      One decodes, slots are free but blocks are not, and 1,024 wait whose first
//   2,048
//                    tokens are cached: each step looks up as many prefixes as it may.
//   Mixed            Sequences of 512 prompt tokens, half of them shared, and 64 new tokens come
//   and
//                    go: the time also holds Add().

#include <cstdint>
#include <numeric>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/check.h"
#include "scheduler/scheduler.h"

namespace spillway {
namespace {

SchedulerLimits Limits() {
  return {.waiting_max = 1024,
          .running_max = 256,
          .step_tokens_max = 2048,
          .block_tokens = 16,
          .block_count = 65'536,
          .sequence_tokens_max = 1 << 20};
}

std::vector<TokenId> Prompt(int32_t tokens, TokenId first) {
  std::vector<TokenId> prompt(static_cast<size_t>(tokens));
  std::iota(prompt.begin(), prompt.end(), first);
  return prompt;
}

// A loop that samples the same token for everybody.
class Loop {
 public:
  explicit Loop(const SchedulerLimits& limits) : scheduler_(limits) {
    sampled_.resize(static_cast<size_t>(limits.running_max), {.token = 1});
  }

  void Add(const std::vector<TokenId>& prompt, int32_t new_tokens_max) {
    const SequenceSpec spec{.id = SequenceId{next_id_++},
                            .prompt = prompt,
                            .new_tokens_max = new_tokens_max,
                            .arrival = now_};
    CHECK(scheduler_.Add(spec).ok());
  }

  // The sequences that ended.
  size_t Step() {
    now_ += absl::Milliseconds(10);
    const StepPlan& plan = scheduler_.PlanStep(now_);
    if (!plan.slices.empty()) {
      size_t samples = 0;
      for (const StepSlice& slice : plan.slices) samples += slice.samples ? 1 : 0;
      samples_[(first_ + static_cast<size_t>(scheduler_.plans_in_flight()) - 1) % 2] = samples;
    }
    if (scheduler_.plans_in_flight() < 2 && !plan.slices.empty()) return 0;
    const size_t ended =
        scheduler_.CompleteStep(std::span(sampled_).first(samples_[first_])).size();
    first_ = (first_ + 1) % 2;
    return ended;
  }

  const Scheduler& scheduler() const { return scheduler_; }

 private:
  Scheduler scheduler_;
  std::vector<SampledSlice> sampled_;
  size_t samples_[2] = {};
  size_t first_ = 0;
  uint64_t next_id_ = 0;
  absl::Time now_ = absl::UnixEpoch();
};

void FillWithDecodes(Loop& loop, int32_t count) {
  for (int32_t i = 0; i < count; ++i) loop.Add(Prompt(128, i * 1000), 1'000'000);
  for (int i = 0; i < 40; ++i) loop.Step();
  CHECK(loop.scheduler().load().running == count);
}

void Decode(benchmark::State& state) {
  const auto count = static_cast<int32_t>(state.range(0));
  SchedulerLimits limits = Limits();
  limits.block_count = 1 << 20;
  Loop loop(limits);
  FillWithDecodes(loop, count);
  for (auto _ : state) loop.Step();
  CHECK(loop.scheduler().load().running == count);
}
BENCHMARK(Decode)->Arg(1)->Arg(64)->Arg(256)->Iterations(20'000);

void DecodeFullQueue(benchmark::State& state) {
  SchedulerLimits limits = Limits();
  limits.block_count = 1 << 20;
  Loop loop(limits);
  FillWithDecodes(loop, 256);
  for (int32_t i = 0; i < 1024; ++i) loop.Add(Prompt(128, i * 1000), 100);
  for (auto _ : state) loop.Step();
  CHECK(loop.scheduler().load().waiting == 1024);
}
BENCHMARK(DecodeFullQueue)->Iterations(20'000);

void BlockedHead(benchmark::State& state) {
  SchedulerLimits limits = Limits();
  limits.prefix_bonus_age_max = absl::InfiniteDuration();
  limits.block_count = 1200;
  Loop loop(limits);
  loop.Add(Prompt(16'000, 0), 3000);
  for (int i = 0; i < 20; ++i) loop.Step();
  for (int32_t i = 0; i < 1024; ++i) {
    std::vector<TokenId> prompt = Prompt(2048, 0);
    prompt.resize(12'000, 100'000 + i);
    loop.Add(prompt, 100);
  }
  for (auto _ : state) loop.Step();
  CHECK(loop.scheduler().load().running == 1);
}
BENCHMARK(BlockedHead)->Iterations(2000);

void Mixed(benchmark::State& state) {
  Loop loop(Limits());
  int32_t number = 0;
  const auto add = [&] {
    std::vector<TokenId> prompt = Prompt(256, (number % 8) * 1000);
    const std::vector<TokenId> own = Prompt(256, 100'000 + number++ * 300);
    prompt.insert(prompt.end(), own.begin(), own.end());
    loop.Add(prompt, 64);
  };
  for (int i = 0; i < 512; ++i) add();
  for (int i = 0; i < 200; ++i) {
    for (size_t ended = loop.Step(); ended > 0; --ended) add();
  }
  size_t finished = 0;
  for (auto _ : state) {
    const size_t ended = loop.Step();
    finished += ended;
    for (size_t i = 0; i < ended; ++i) add();
  }
  state.counters["finished_per_step"] =
      static_cast<double>(finished) / static_cast<double>(state.iterations());
}
BENCHMARK(Mixed)->Iterations(20'000);

}  // namespace
}  // namespace spillway

BENCHMARK_MAIN();
