#include "server/dialects/operations_routes.h"

#include <atomic>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_router.h"
#include "tests/support/recording_writer.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

class OperationsRoutesTest : public ::testing::Test {
 protected:
  OperationsRoutesTest() {
    AddOperationsRoutes(routes_, router_, metrics_, draining_, /*no_model=*/false,
                        [] { return StatusReport{.version = "1.2"}; });
  }

  HttpResponse Get(const std::string& path) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    EXPECT_FALSE(routes_.Admit(request).has_value());
    RecordingWriter writer;
    EXPECT_EQ(routes_.Handle(request, writer), nullptr);
    return writer.response.value();
  }

  FakeRouter router_;
  MetricRegistry metrics_;
  std::atomic<bool> draining_ = false;
  RouteTable routes_{[this](HttpRequest&, TokenRule rule) -> std::optional<HttpResponse> {
                       last_rule_ = rule;
                       return std::nullopt;
                     },
                     [](int status, std::string_view, std::string_view) {
                       return HttpResponse{.status = status, .headers = {}, .body = ""};
                     }};
  TokenRule last_rule_ = TokenRule::kAlways;
};

TEST_F(OperationsRoutesTest, ReadyWithOneReadyReplica) {
  EXPECT_EQ(Get("/readyz").status, 503);
  ReplicaStatus loading;
  loading.name = "worker-0";
  loading.reason = "connecting";
  router_.SetReplicas({loading});
  const HttpResponse waiting = Get("/readyz");
  EXPECT_EQ(waiting.status, 503);
  EXPECT_THAT(waiting.body, HasSubstr("worker-0: connecting"));
  ReplicaStatus ready;
  ready.ready = true;
  router_.SetReplicas({loading, ready});
  EXPECT_EQ(Get("/readyz").status, 200);
  draining_ = true;
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/healthz").status, 200);
}

TEST_F(OperationsRoutesTest, ProbesNeedNoTokenAndMetricsMay) {
  EXPECT_EQ(Get("/").status, 200);
  EXPECT_EQ(last_rule_, TokenRule::kNever);
  Get("/healthz");
  EXPECT_EQ(last_rule_, TokenRule::kNever);
  metrics_.GetCounter("things_total", "Things.").Add(3);
  const HttpResponse metrics = Get("/metrics");
  EXPECT_EQ(last_rule_, TokenRule::kUnlessLoopback);
  EXPECT_THAT(metrics.body, HasSubstr("things_total 3"));
  EXPECT_THAT(metrics.content_type, HasSubstr("version=0.0.4"));
  last_rule_ = TokenRule::kNever;
  EXPECT_THAT(Get("/status").body, HasSubstr("\"version\":\"1.2\""));
  EXPECT_EQ(last_rule_, TokenRule::kUnlessLoopback);
}

}  // namespace
}  // namespace spillway
