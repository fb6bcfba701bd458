// Simulation: the router's predicted wait against real chats. The real scheduler runs the requests
// of two traces, on a device whose steps take what those of a real run took. Before each request
// comes the wait is predicted from the worker's last load frame, as a router does it.
//
// The traces are other people's data and lie beside the repository; without them this is skipped.

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "gtest/gtest.h"
#include "router/balancer.h"
#include "scheduler/scheduler.h"
#include "tests/support/request_traces.h"
#include "tests/support/step_times.h"

namespace spillway {
namespace {

constexpr size_t kRequests = 2000;
constexpr int32_t kVocabulary = 50'000;
constexpr int32_t kPrefixTokens = 512;  // of one prefix id
constexpr size_t kStepsInFlight = 2;    // as the engine has them
constexpr absl::Duration kCounts = absl::Milliseconds(100);
constexpr double kErrorMedianMax = 0.25;
constexpr double kErrorP90Max = 0.60;

const SchedulerLimits kLimits = {.waiting_max = kRequests,
                                 .running_max = 16,
                                 .step_tokens_max = 512,
                                 .block_count = 12'000,
                                 .sequence_tokens_max = 131'072,
                                 .step_target = absl::Milliseconds(200)};

std::vector<TokenId> PromptOf(const TracedRequest& request, uint64_t id) {
  std::vector<TokenId> prompt;
  for (int32_t i = 0; i < request.prompt_tokens; ++i) {
    const auto place = static_cast<size_t>(i / kPrefixTokens);
    const uint64_t prefix =
        place < request.prefix_ids.size() ? request.prefix_ids[place] + 1 : (id + 1) << 32;
    const uint64_t mixed =
        (prefix * kPrefixTokens + static_cast<uint64_t>(i % kPrefixTokens)) * 0x9E3779B97F4A7C15;
    prompt.push_back(static_cast<TokenId>((mixed >> 33) % kVocabulary));
  }
  return prompt;
}

// A worker: the scheduler, a device with steps in flight, and the load that it tells after each.
class SimulatedEngine {
 public:
  SimulatedEngine(const StepTimes& times, uint32_t seed) : times_(times), random_(seed) {}

  absl::Time now() const { return now_; }
  bool idle() const { return in_flight_.empty(); }
  // When each sequence's prefill began.
  const std::unordered_map<uint64_t, absl::Time>& started() const { return started_; }

  void Add(uint64_t id, const TracedRequest& request) {
    ASSERT_TRUE(scheduler_
                    .Add({.id = SequenceId{id},
                          .prompt = PromptOf(request, id),
                          .new_tokens_max = request.output_tokens,
                          .arrival = now_})
                    .ok());
    if (idle()) Launch();
    TellLoad();
  }

  // Until nothing runs, or `end`.
  void RunUntil(absl::Time end) {
    while (!idle() && in_flight_.front().ends <= end) {
      const InFlight step = in_flight_.front();
      in_flight_.pop_front();
      now_ = step.ends;
      scheduler_.CompleteStep(std::vector<SampledSlice>(step.samples), step.took);
      Launch();
      TellLoad();
    }
    if (end != absl::InfiniteFuture()) now_ = end;
  }

  absl::Duration PredictedWaitOfNewcomer() const {
    return PredictedWait({.ready = true,
                          .running_max = kLimits.running_max,
                          .waiting_max = kLimits.waiting_max,
                          .load = load_});
  }

 private:
  struct InFlight {
    absl::Time ends;
    absl::Duration took;
    size_t samples = 0;
  };

  void Launch() {
    while (in_flight_.size() < kStepsInFlight) {
      StepWork work;
      InFlight step;
      const StepPlan& plan = scheduler_.PlanStep(now_);
      for (const SequenceStart& start : plan.started) {
        started_.try_emplace(static_cast<uint64_t>(start.sequence), now_);
      }
      if (plan.slices.empty()) return;
      for (const StepSlice& slice : plan.slices) {
        work.Add(slice.begin, slice.count);
        step.samples += slice.samples ? 1 : 0;
      }
      step.took = times_.Sample(work, random_);
      step.ends = (idle() ? now_ : in_flight_.back().ends) + step.took;
      in_flight_.push_back(step);
    }
  }

  void TellLoad() {
    const SchedulerLoad load = scheduler_.load();
    load_ = {.running = load.running,
             .waiting = load.waiting,
             .newcomer_wait_ms = absl::ToDoubleMilliseconds(load.newcomer.wait)};
  }

  const StepTimes& times_;
  std::mt19937 random_;
  Scheduler scheduler_{kLimits};
  absl::Time now_ = absl::UnixEpoch();
  std::deque<InFlight> in_flight_;
  std::unordered_map<uint64_t, absl::Time> started_;
  ReplicaLoad load_;
};

struct Trace {
  std::string name;
  std::optional<std::vector<TracedRequest>> requests;
};

Trace ReadTrace(const std::string& name) {
  const std::string folder = std::string(SPILLWAY_SOURCE_DIR) + "/../shared/data/";
  if (name == "Azure") {
    return {name, ReadAzureTrace(folder + "azure_llm_2023_conv.csv.gz", kRequests)};
  }
  return {name, ReadMooncakeTrace(folder + "mooncake_conversation_trace.jsonl.gz", kRequests)};
}

// Requests a second, when there is always somebody who waits.
double Capacity(const std::vector<TracedRequest>& requests, const StepTimes& times) {
  SimulatedEngine engine(times, 1);
  for (size_t i = 0; i < requests.size(); ++i) engine.Add(i, requests[i]);
  engine.RunUntil(absl::InfiniteFuture());
  return static_cast<double>(requests.size()) /
         absl::ToDoubleSeconds(engine.now() - absl::UnixEpoch());
}

double Quantile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

class PredictedWaitSimulation : public ::testing::TestWithParam<std::string> {};

TEST_P(PredictedWaitSimulation, IsNearTheRealOneForThoseWhoWait) {
  const Trace trace = ReadTrace(GetParam());
  if (!trace.requests.has_value()) GTEST_SKIP() << "the traces are not in ../shared/data";
  const std::vector<TracedRequest>& requests = *trace.requests;
  const StepTimes times(std::string(SPILLWAY_SOURCE_DIR) +
                        "/tests/simulation/testdata/cpu_step_times.csv");
  const double capacity = Capacity(requests, times);
  const double traced = static_cast<double>(requests.size()) /
                        absl::ToDoubleSeconds(requests.back().arrival - requests.front().arrival);

  for (const double load : {0.8, 1.0, 1.2}) {
    SimulatedEngine engine(times, 2);
    std::vector<absl::Duration> predicted;
    std::vector<absl::Time> arrivals;
    for (size_t i = 0; i < requests.size(); ++i) {
      const absl::Time arrival =
          absl::UnixEpoch() + requests[i].arrival * (traced / (capacity * load));
      engine.RunUntil(arrival);
      predicted.push_back(engine.PredictedWaitOfNewcomer());
      arrivals.push_back(arrival);
      engine.Add(i, requests[i]);
    }
    engine.RunUntil(absl::InfiniteFuture());

    std::vector<double> errors;
    for (size_t i = 0; i < requests.size(); ++i) {
      const absl::Duration waited = engine.started().at(i) - arrivals[i];
      if (waited > kCounts) {
        errors.push_back(std::abs(absl::FDivDuration(predicted[i] - waited, waited)));
      }
    }
    ASSERT_GT(errors.size(), requests.size() / 20) << "hardly anybody waited";
    const double median = Quantile(errors, 0.5);
    const double p90 = Quantile(errors, 0.9);
    std::printf("%s at %.1f of %.2f requests/s: %zu waited, error median %.0f%%, p90 %.0f%%\n",
                trace.name.c_str(), load, capacity, errors.size(), 100 * median, 100 * p90);
    EXPECT_LE(median, kErrorMedianMax);
    EXPECT_LE(p90, kErrorP90Max);
  }
}

INSTANTIATE_TEST_SUITE_P(Traces, PredictedWaitSimulation, ::testing::Values("Azure", "Mooncake"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace spillway
