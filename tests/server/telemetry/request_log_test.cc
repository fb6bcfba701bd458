#include "server/telemetry/request_log.h"

#include <string>
#include <vector>

#include "common/mutex.h"
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

// A writer that stands still until it is let go.
class SlowWriter {
 public:
  RequestLog::Write write() {
    return [this](LogLevel level, std::string_view line) {
      MutexLock lock(mutex_);
      while (held_) changed_.Wait(mutex_);
      lines_.emplace_back(line);
      levels_.push_back(level);
    };
  }
  void Release() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    held_ = false;
    changed_.NotifyAll();
  }
  std::vector<std::string> lines() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return lines_;
  }
  std::vector<LogLevel> levels() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return levels_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = true;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  std::vector<LogLevel> levels_ GUARDED_BY(mutex_);
};

TEST(RequestLogTest, SlowLogDropsLinesAndSaysHowMany) {
  MetricRegistry metrics;
  SlowWriter writer;
  {
    RequestLog log(metrics, writer.write(), {.lines_max = 4});
    for (int i = 0; i < 20; ++i) log.OnRequestEnd(Finished());
    writer.Release();
  }
  // The four that wait, and perhaps the one in the writer's hands.
  const std::vector<std::string> lines = writer.lines();
  int told = 0;
  int requests = 0;
  for (const std::string& line : lines) {
    if (line == FormatRequestLine(Finished())) ++requests;
    if (line.find("the log is too slow: ") == 0) told += std::stoi(line.substr(21));
  }
  EXPECT_GE(requests, 4);
  EXPECT_LE(requests, 5);
  EXPECT_EQ(told, 20 - requests);
  EXPECT_THAT(metrics.Scrape(),
              HasSubstr("spillway_log_lines_dropped_total " + std::to_string(told) + "\n"));
}

TEST(RequestLogTest, AllLinesAreWrittenBeforeItsEnd) {
  MetricRegistry metrics;
  SlowWriter writer;
  writer.Release();
  {
    RequestLog log(metrics, writer.write());
    for (int i = 0; i < 100; ++i) log.OnRequestEnd(Finished());
  }
  EXPECT_EQ(writer.lines().size(), 100u);
}

TEST(RequestLogTest, OnlyTheServersOwnFailuresAreWarnings) {
  MetricRegistry metrics;
  SlowWriter writer;
  writer.Release();
  {
    RequestLog log(metrics, writer.write());
    for (const int status : {200, 429, 499, 503}) {
      RequestSummary summary = Finished();
      summary.http_status = status;
      log.OnRequestEnd(summary);
    }
  }
  EXPECT_EQ(writer.levels(), (std::vector<LogLevel>{LogLevel::kInfo, LogLevel::kInfo,
                                                    LogLevel::kInfo, LogLevel::kWarning}));
}

}  // namespace
}  // namespace spillway
