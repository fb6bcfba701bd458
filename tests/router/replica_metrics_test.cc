#include "router/replica_metrics.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ReplicaSnapshot Snapshot(const ReplicaLoad& load) {
  return {.ready = true, .kv_block_tokens = 16, .load = load};
}

constexpr char kLabels[] = "{model=\"m\",replica=\"worker-0\"}";

TEST(ReplicaMetricsTest, NothingIsToldOfAReplicaWithoutAModel) {
  MetricRegistry registry;
  ReplicaMetrics metrics(registry, "worker-0");
  metrics.Set({}, "");
  EXPECT_EQ(registry.Scrape(), "");
}

TEST(ReplicaMetricsTest, ShowsTheLoad) {
  MetricRegistry registry;
  ReplicaMetrics metrics(registry, "worker-0");
  metrics.Set(Snapshot({.running = 2, .waiting = 3, .kv_blocks_free = 30, .kv_blocks_total = 40}),
              "m");
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr(std::string("spillway_replica_ready") + kLabels + " 1"));
  EXPECT_THAT(text, HasSubstr(std::string("spillway_replica_running") + kLabels + " 2"));
  EXPECT_THAT(text, HasSubstr(std::string("spillway_replica_kv_usage_ratio") + kLabels + " 0.25"));
  EXPECT_THAT(text, HasSubstr("spillway_replica_kv_config_info{block_tokens=\"16\",blocks=\"40\","
                              "model=\"m\",replica=\"worker-0\"} 1"));
  metrics.Set({}, "");
  EXPECT_THAT(registry.Scrape(),
              HasSubstr(std::string("spillway_replica_running") + kLabels + " 0"));
}

TEST(ReplicaMetricsTest, CountsGoOnWhenTheWorkerBeginsAnew) {
  MetricRegistry registry;
  ReplicaMetrics metrics(registry, "worker-0");
  const auto preemptions = [&](uint64_t told, bool ready) {
    ReplicaSnapshot snapshot = Snapshot({.preemptions = told});
    snapshot.ready = ready;
    metrics.Set(snapshot, "m");
  };
  preemptions(5, true);
  preemptions(7, true);
  preemptions(0, false);  // away
  preemptions(2, true);   // another process
  preemptions(3, true);
  EXPECT_THAT(registry.Scrape(),
              HasSubstr(std::string("spillway_replica_preemptions_total") + kLabels + " 10"));
}

TEST(ReplicaMetricsTest, OneKvConfigAtATime) {
  MetricRegistry registry;
  ReplicaMetrics metrics(registry, "worker-0");
  metrics.Set(Snapshot({.kv_blocks_total = 40}), "m");
  metrics.Set(Snapshot({.kv_blocks_total = 50}), "m");
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("blocks=\"40\"")));
  EXPECT_THAT(registry.Scrape(), HasSubstr("blocks=\"50\",model=\"m\",replica=\"worker-0\"} 1"));
  metrics.Set({}, "");
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("blocks=\"50\"")));
}

}  // namespace
}  // namespace spillway
