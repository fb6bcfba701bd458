// Simulation: a provider that is well, throttles, fails, is unpaid or lacks a model, in turns and
// each for a random time, and requests that take random times to come back, some never.
//
// The circuits must keep the provider from being asked in vain, and must let requests through again
// soon after it is well. A failure prints its seed; rerun it with --gtest_filter=*/<seed>.

#include <algorithm>
#include <cmath>
#include <map>
#include <queue>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "router/providers/provider_circuits.h"

namespace spillway {
namespace {

using enum ProviderAction;

enum class Weather { kWell, kThrottling, kFailing, kUnpaid, kModelMissing };

struct Flight {
  absl::Time back;
  CircuitKey key;
  CircuitPermit permit;
  Weather answer;
  bool abandoned;
  bool operator<(const Flight& other) const { return back > other.back; }
};

class ProviderCircuitsSimulation : public testing::TestWithParam<uint64_t> {
 protected:
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(bound));
  }

  // A phase of one weather with a request every 20 ms. What was asked, and what of it was let
  // through after the provider's first word of its weather had come back.
  struct Phase {
    int64_t asked = 0;
    int64_t allowed = 0;
    int64_t allowed_after_news = 0;
    bool news = false;
    int64_t probes_in_flight_max = 0;
  };

  void ComeBack(Phase& phase, Weather weather) {
    while (!flights_.empty() && flights_.top().back <= now_) {
      const Flight flight = flights_.top();
      flights_.pop();
      if (flight.permit.probes_model || flight.permit.probes_key) --probes_;
      if (flight.abandoned) {
        circuits_.OnAbandoned(flight.key, flight.permit);
        continue;
      }
      if (flight.answer == weather) phase.news = true;
      switch (flight.answer) {
        case Weather::kWell:
          circuits_.OnSuccess(flight.key, flight.permit);
          break;
        case Weather::kThrottling:
          Error(flight, {kBackOff, "throttled", false});
          break;
        case Weather::kFailing:
          Error(flight, {kTryAgain, "provider_failed", false});
          break;
        case Weather::kUnpaid:
          Error(flight, {kBlockKey, "billing", true});
          break;
        case Weather::kModelMissing:
          Error(flight, {kBlockModel, "model_not_found", true});
          break;
      }
    }
  }
  void Error(const Flight& flight, const ErrorVerdict& verdict) {
    circuits_.OnError(flight.key, flight.permit, verdict, absl::ZeroDuration(), now_);
  }

  Phase Run(Weather weather, absl::Duration length) {
    Phase phase;
    const absl::Time end = now_ + length;
    while (now_ < end) {
      now_ += absl::Milliseconds(20);
      ComeBack(phase, weather);
      const CircuitPermit permit = circuits_.Ask(key_, now_);
      ++phase.asked;
      if (!permit.allowed) {
        EXPECT_GT(permit.retry_at, now_ - absl::Milliseconds(20));
        EXPECT_FALSE(permit.reason.empty());
        continue;
      }
      ++phase.allowed;
      if (phase.news) ++phase.allowed_after_news;
      if (permit.probes_model || permit.probes_key) {
        phase.probes_in_flight_max = std::max(phase.probes_in_flight_max, ++probes_);
      }
      flights_.push(
          {now_ + absl::Milliseconds(1 + Below(300)), key_, permit, weather, Below(50) == 0});
    }
    return phase;
  }

  std::mt19937_64 random_{GetParam()};
  CircuitLimits limits_ = {.open_max = absl::Seconds(16),
                           .blocked_min = absl::Seconds(10),
                           .blocked_max = absl::Minutes(2)};
  ProviderCircuits circuits_{limits_};
  const CircuitKey key_ = {"bailian", "main", "qwen-plus"};
  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  std::priority_queue<Flight> flights_;
  int64_t probes_ = 0;
};

TEST_P(ProviderCircuitsSimulation, AskedSeldomWhileItIsIllAndAtOnceWhenItIsWell) {
  for (int i = 0; i < 8; ++i) {
    const Weather weather = static_cast<Weather>(1 + Below(4));
    const bool block = weather == Weather::kUnpaid || weather == Weather::kModelMissing;
    const absl::Duration shortest = block ? limits_.blocked_min : limits_.open_min;
    const absl::Duration longest = block ? limits_.blocked_max : limits_.open_max;

    // Ill. Its first answers open the circuit (failures_in_a_row of them where it fails), and so do
    // those that were under way; from then on only probes pass, each after twice the time.
    const absl::Duration ill = absl::Seconds(30 + Below(300));
    const Phase phase = Run(weather, ill);
    const double doublings = std::log2(absl::FDivDuration(longest, shortest)) + 1;
    const double probes = doublings + absl::FDivDuration(ill, longest) + 1;
    const double under_way = 300.0 / 20 + limits_.failures_in_a_row;
    // An abandoned probe is followed by another.
    EXPECT_LE(static_cast<double>(phase.allowed_after_news), 2 * probes + under_way)
        << static_cast<int>(weather) << " for " << ill;
    EXPECT_LE(phase.probes_in_flight_max, 1);

    // Well again: whoever asks is let through once the opening is over, and then all are.
    Run(Weather::kWell, longest + absl::Seconds(10));
    EXPECT_TRUE(circuits_.Open(now_).empty()) << static_cast<int>(weather);
    const Phase well = Run(Weather::kWell, absl::Seconds(5));
    EXPECT_EQ(well.allowed, well.asked);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ProviderCircuitsSimulation, testing::Range<uint64_t>(0, 20));

}  // namespace
}  // namespace spillway
