#include "server/telemetry/request_log.h"

#include <string>
#include <vector>

#include "common/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RequestSummary Finished() {
  return {.request_id = "id-1",
          .token = "open-webui",
          .service = "smollm2",
          .replica = "worker-0",
          .outcome = "finished",
          .finish = "length",
          .prompt_tokens = 12,
          .cached_tokens = 8,
          .completion_tokens = 30,
          .queued = absl::Microseconds(1250),
          .to_text = absl::Milliseconds(40),
          .took = absl::Milliseconds(900)};
}

TEST(RequestLineTest, TellsAllOfAFinishedRequest) {
  EXPECT_EQ(FormatRequestLine(Finished()),
            "request id=id-1 token=open-webui service=smollm2 upstream=worker-0 tokens_in=12 "
            "tokens_cached=8 tokens_out=30 queue_ms=1.2 ttft_ms=40.0 total_ms=900.0 finish=length "
            "status=200");
  RequestSummary resumed = Finished();
  resumed.resumes = 2;
  resumed.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_THAT(
      FormatRequestLine(resumed),
      HasSubstr(" finish=length status=200 resumes=2 trace=4bf92f3577b34da6a3ce929d0e0e4736"));
}

TEST(RequestLineTest, RefusedRequestHasDashesForWhatItNeverReached) {
  EXPECT_EQ(
      FormatRequestLine(
          {.request_id = "id-1", .service = "none", .outcome = "queue_full", .http_status = 429}),
      "request id=id-1 token=- service=none upstream=- tokens_in=0 tokens_cached=0 "
      "tokens_out=0 queue_ms=- ttft_ms=- total_ms=0.0 finish=queue_full status=429");
  RequestSummary cancelled = Finished();
  cancelled.outcome = "cancelled";
  EXPECT_THAT(FormatRequestLine(cancelled), HasSubstr(" finish=cancelled"));
}

TEST(RequestLineTest, WhatOthersWroteIsOneWord) {
  RequestSummary summary = Finished();
  const std::string name = "a b\nrequest id=forged\x80" + std::string(1000, 'x');
  summary.token = name;
  const std::string line = FormatRequestLine(summary);
  EXPECT_THAT(line, HasSubstr(" token=a_b_request_id_forged_xxx"));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  EXPECT_LT(line.size(), 400u);
}

TEST(RequestLogTest, OnlyTheServersOwnFailuresAreWarnings) {
  std::vector<LogLevel> levels;
  RequestLog log([&](LogLevel level, std::string_view) { levels.push_back(level); });
  for (const int status : {200, 429, 499, 503}) {
    RequestSummary summary = Finished();
    summary.http_status = status;
    log.OnRequestEnd(summary);
  }
  EXPECT_EQ(levels, (std::vector<LogLevel>{LogLevel::kInfo, LogLevel::kInfo, LogLevel::kInfo,
                                           LogLevel::kWarning}));
}

}  // namespace
}  // namespace spillway
