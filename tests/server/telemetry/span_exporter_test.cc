#include "server/telemetry/span_exporter.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr char kNotSampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

RequestSummary Finished() {
  return {.request_id = "id-1",
          .service = "m",
          .replica = "worker-0",
          .outcome = "finished",
          .finish = "stop",
          .prompt_tokens = 12,
          .completion_tokens = 30,
          .queued = absl::Milliseconds(250),
          .took = absl::Seconds(2)};
}

TEST(FormatSpanTest, IsWhatOtlpHas) {
  RequestSummary summary = Finished();
  summary.traceparent = kTraceparent;
  EXPECT_EQ(FormatSpan(summary, absl::FromUnixSeconds(1000), "1122334455667788", "unused"),
            R"({"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"1122334455667788",)"
            R"("parentSpanId":"00f067aa0ba902b7","name":"generate m","kind":2,)"
            R"("startTimeUnixNano":"998000000000","endTimeUnixNano":"1000000000000","attributes":[)"
            R"({"key":"gen_ai.request.model","value":{"stringValue":"m"}},)"
            R"({"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}},)"
            R"({"key":"gen_ai.usage.output_tokens","value":{"intValue":"30"}},)"
            R"({"key":"http.response.status_code","value":{"intValue":"200"}},)"
            R"({"key":"spillway.request_id","value":{"stringValue":"id-1"}},)"
            R"({"key":"spillway.upstream","value":{"stringValue":"worker-0"}},)"
            R"({"key":"spillway.cached_tokens","value":{"intValue":"0"}},)"
            R"({"key":"spillway.finish","value":{"stringValue":"stop"}},)"
            R"({"key":"spillway.resumes","value":{"intValue":"0"}},)"
            R"({"key":"spillway.queue_seconds","value":{"doubleValue":0.25}}],"status":{}})");
}

TEST(FormatSpanTest, BeginsATraceWhereTheClientHasNone) {
  RequestSummary summary = Finished();
  summary.http_status = 503;
  const std::string span = FormatSpan(summary, absl::UnixEpoch(), "s", "t");
  EXPECT_THAT(span, HasSubstr(R"("traceId":"t")"));
  EXPECT_THAT(span, Not(HasSubstr("parentSpanId")));
  EXPECT_THAT(span, HasSubstr(R"("status":{"code":2})"));
}

// Takes bodies, or refuses them.
class Collector {
 public:
  SpanExporter::Send send() {
    return [this](const std::string& body) {
      MutexLock lock(mutex_);
      bodies_.push_back(body);
      return status_;
    };
  }
  void Refuse() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    status_ = absl::UnavailableError("down");
  }
  std::vector<std::string> bodies() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return bodies_;
  }

 private:
  mutable Mutex mutex_;
  absl::Status status_ GUARDED_BY(mutex_);
  std::vector<std::string> bodies_ GUARDED_BY(mutex_);
};

class SpanExporterTest : public ::testing::Test {
 protected:
  SystemClock clock_;
  MetricRegistry metrics_;
  Collector collector_;
};

TEST_F(SpanExporterTest, AllAreSentInBatchesBeforeItsEnd) {
  {
    SpanExporter exporter(clock_, metrics_, 1, collector_.send(), {.batch_max = 2});
    for (int i = 0; i < 5; ++i) exporter.OnRequestEnd(Finished());
  }
  size_t spans = 0;
  std::vector<std::string> ids;
  for (const std::string& body : collector_.bodies()) {
    size_t in_batch = 0;
    for (size_t at = body.find("\"spanId\":"); at != std::string::npos;
         at = body.find("\"spanId\":", at + 1)) {
      ids.push_back(body.substr(at, 28));
      ++in_batch;
    }
    EXPECT_LE(in_batch, 2u);
    spans += in_batch;
  }
  EXPECT_EQ(spans, 5u);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_spans_sent_total 5\n"));
}

TEST_F(SpanExporterTest, WhatTheClientDoesNotRecordIsNotSent) {
  {
    SpanExporter exporter(clock_, metrics_, 1, collector_.send());
    RequestSummary summary = Finished();
    summary.traceparent = kNotSampled;
    exporter.OnRequestEnd(summary);
  }
  EXPECT_TRUE(collector_.bodies().empty());
}

TEST_F(SpanExporterTest, WhatNobodyTakesIsCounted) {
  collector_.Refuse();
  {
    SpanExporter exporter(clock_, metrics_, 1, collector_.send(), {.batch_max = 1});
    for (int i = 0; i < 3; ++i) exporter.OnRequestEnd(Finished());
  }
  EXPECT_GE(collector_.bodies().size(), 1u);
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_spans_dropped_total 3\n"));
}

}  // namespace
}  // namespace spillway
