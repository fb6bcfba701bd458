#include "common/metrics.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, ScrapesWhatWasCounted) {
  MetricRegistry registry;
  registry.GetCounter("requests_total", "Requests.", {{"code", "200"}}).Add();
  registry.GetCounter("requests_total", "Requests.", {{"code", "200"}}).Add(2);
  registry.GetCounter("requests_total", "Requests.", {{"code", "404"}}).Add();
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("# HELP requests_total Requests."));
  EXPECT_THAT(text, HasSubstr("# TYPE requests_total counter"));
  EXPECT_THAT(text, HasSubstr("requests_total{code=\"200\"} 3"));
  EXPECT_THAT(text, HasSubstr("requests_total{code=\"404\"} 1"));
}

TEST(MetricsTest, OneNameAndLabelsAreOneObject) {
  MetricRegistry registry;
  EXPECT_EQ(&registry.GetGauge("running", "Running."), &registry.GetGauge("running", "Running."));
  EXPECT_NE(&registry.GetGauge("running", "Running."),
            &registry.GetGauge("running", "Running.", {{"worker", "a"}}));
}

TEST(MetricsTest, GaugesGoBothWays) {
  MetricRegistry registry;
  Gauge& gauge = registry.GetGauge("running", "Running.");
  gauge.Set(5);
  gauge.Add(-2);
  EXPECT_THAT(registry.Scrape(), HasSubstr("running 3"));
}

TEST(MetricsTest, HistogramsSumIntoBuckets) {
  MetricRegistry registry;
  Histogram& histogram = registry.GetHistogram("step_seconds", "Steps.", {0.1, 1});
  histogram.Observe(0.05);
  histogram.Observe(0.5);
  histogram.Observe(5);
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("step_seconds_bucket{le=\"0.1\"} 1"));
  EXPECT_THAT(text, HasSubstr("step_seconds_bucket{le=\"1\"} 2"));
  EXPECT_THAT(text, HasSubstr("step_seconds_bucket{le=\"+Inf\"} 3"));
  EXPECT_THAT(text, HasSubstr("step_seconds_count 3"));
}

TEST(MetricsTest, CountsOfBucketsAddUp) {
  MetricRegistry registry;
  Histogram& histogram = registry.GetHistogram("gap_seconds", "Gaps.", {0.1, 1});
  histogram.Observe(0.5);
  histogram.ObserveCounts({3, 2, 1}, 10);
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("gap_seconds_bucket{le=\"0.1\"} 3"));
  EXPECT_THAT(text, HasSubstr("gap_seconds_bucket{le=\"1\"} 6"));
  EXPECT_THAT(text, HasSubstr("gap_seconds_bucket{le=\"+Inf\"} 7"));
  EXPECT_THAT(text, HasSubstr("gap_seconds_sum 10.5"));
}

TEST(MetricsTest, AliasesShowTheSameUnderAnotherName) {
  MetricRegistry registry;
  registry.AddAlias({.name = "running",
                     .alias = "other:running",
                     .help = "Theirs.",
                     .label_names = {{"model", "model_name"}},
                     .labels = {{"engine", "0"}}});
  registry.GetGauge("running", "Ours.", {{"model", "m"}, {"secret", "x"}}).Set(4);
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("running{model=\"m\",secret=\"x\"} 4"));
  EXPECT_THAT(text, HasSubstr("# HELP other:running Theirs.\n# TYPE other:running gauge\n"
                              "other:running{engine=\"0\",model_name=\"m\"} 4"));
}

TEST(MetricsTest, RemovedGaugeIsGoneAndMayComeAgain) {
  MetricRegistry registry;
  registry.GetGauge("size_info", "Size.", {{"size", "1"}}).Set(1);
  registry.GetGauge("size_info", "Size.", {{"size", "2"}}).Set(1);
  registry.RemoveGauge("size_info", {{"size", "1"}});
  registry.RemoveGauge("size_info", {{"size", "none such"}});
  EXPECT_THAT(registry.Scrape(), Not(HasSubstr("size=\"1\"")));
  EXPECT_THAT(registry.Scrape(), HasSubstr("size_info{size=\"2\"} 1"));
  registry.GetGauge("size_info", "Size.", {{"size", "1"}}).Set(3);
  EXPECT_THAT(registry.Scrape(), HasSubstr("size_info{size=\"1\"} 3"));
}

TEST(MetricsTest, ThreadsLoseNoCount) {
  MetricRegistry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry] {
      for (int i = 0; i < 500; ++i) registry.GetCounter("events_total", "Events.").Add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(registry.Scrape(), HasSubstr("events_total 2000"));
}

}  // namespace
}  // namespace spillway
