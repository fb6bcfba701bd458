#include "router/router_metrics.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Time kAsked = absl::UnixEpoch();

TEST(TokenGapsTest, EachTokenIsCountedInItsBucket) {
  TokenGaps gaps;
  EXPECT_TRUE(gaps.counts().empty());
  gaps.Add(absl::Milliseconds(20), 1);   // at the bound of 20 ms
  gaps.Add(absl::Milliseconds(100), 4);  // 25 ms each
  gaps.Add(absl::Seconds(9), 1);
  gaps.Add(absl::Seconds(9), 0);
  ASSERT_EQ(gaps.counts().size(), TokenGaps::bounds_seconds().size() + 1);
  EXPECT_EQ(gaps.counts()[4], 1);
  EXPECT_EQ(gaps.counts()[5], 4);
  EXPECT_EQ(gaps.counts().back(), 1);
  EXPECT_DOUBLE_EQ(gaps.sum_seconds(), 9.12);
}

TEST(RequestMetricsTest, FinishedRequest) {
  MetricRegistry registry;
  RequestMetrics metrics(registry);
  RequestRecord record = {.asked = kAsked,
                          .ended = kAsked + absl::Seconds(3),
                          .started = kAsked + absl::Seconds(1),
                          .predicted_wait = absl::Seconds(1)};
  record.choices.resize(2);
  record.choices[0] = {.first_delta = kAsked + absl::Seconds(2),
                       .last_delta = kAsked + absl::Seconds(3),
                       .tokens = 3,
                       .finished = FinishReason::kLength};
  record.gaps.Add(absl::Seconds(1), 2);
  record.prompt_tokens = 7;
  record.outcome = "finished";
  metrics.Observe("m", record);
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("spillway_requests_total{model=\"m\",outcome=\"finished\"} 1"));
  EXPECT_THAT(text, HasSubstr("spillway_choices_finished_total{model=\"m\",reason=\"length\"} 1"));
  EXPECT_THAT(text, Not(HasSubstr("reason=\"stop\"")));
  EXPECT_THAT(text, HasSubstr("spillway_request_seconds_sum{model=\"m\"} 3"));
  EXPECT_THAT(text, HasSubstr("spillway_queue_seconds_sum{model=\"m\"} 1"));
  EXPECT_THAT(text, HasSubstr("spillway_ttft_seconds_sum{model=\"m\"} 2"));
  EXPECT_THAT(text, HasSubstr("spillway_inter_token_seconds_count{model=\"m\"} 2"));
  EXPECT_THAT(text, HasSubstr("spillway_prompt_tokens_total{model=\"m\"} 7"));
  EXPECT_THAT(text, HasSubstr("spillway_completion_tokens_total{model=\"m\"} 3"));
}

TEST(RequestMetricsTest, RefusedRequestHasNoTimesThatItNeverReached) {
  MetricRegistry registry;
  RequestMetrics metrics(registry);
  RequestRecord record = {.asked = kAsked, .ended = kAsked, .outcome = "queue_full"};
  record.choices.resize(1);
  metrics.Observe("none", record);
  const std::string text = registry.Scrape();
  EXPECT_THAT(text, HasSubstr("outcome=\"queue_full\"} 1"));
  EXPECT_THAT(text, HasSubstr("spillway_ttft_seconds_count{model=\"none\"} 0"));
  EXPECT_THAT(text, HasSubstr("spillway_queue_seconds_count{model=\"none\"} 0"));
}

}  // namespace
}  // namespace spillway
