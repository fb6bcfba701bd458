#include "server/dialects/eas_paths.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/dialects/openai_dialect.h"
#include "server/dialects/openai_error.h"
#include "tests/support/fake_router.h"
#include "tests/support/manual_clock.h"
#include "tests/support/recording_writer.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kChat[] = R"({"messages":[{"role":"user","content":"hi"}]})";

// Two models: "smollm2" with a replica that is ready and one that isn't, "r1" with none that is.
class EasPathsTest : public ::testing::Test {
 protected:
  EasPathsTest() {
    router_.SetModels({{"smollm2", 2048, absl::FromUnixSeconds(5)},
                       {"r1-distill", 4096, absl::FromUnixSeconds(6)}});
    router_.SetReplicas({{.name = "worker-0", .ready = true, .model = "smollm2"},
                         {.name = "worker-1", .ready = false, .model = "smollm2"},
                         {.name = "worker-2", .ready = false, .model = "r1-distill"}});
    openai_.AddRoutes(routes_);
  }

  void Ask(const std::string& method, const std::string& path, const std::string& body = "") {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.local_address = "10.0.0.7:8080";
    EXPECT_FALSE(paths_.Admit(request).has_value());
    route_ = request.route;
    request.body = body;
    writer_.response.reset();
    operation_ = paths_.Handle(request, writer_);
  }
  const HttpResponse& Response() const { return writer_.response.value(); }
  json Body() const { return json::parse(Response().body); }

  FakeRouter router_;
  std::unique_ptr<RouterShard> shard_ = router_.MakeShard([](const std::function<void()>&) {});
  ManualClock clock_;
  OpenAiDialect openai_{{}, router_, *shard_, clock_};
  std::vector<TokenRule> asked_;  // of the gate
  RouteTable routes_{[this](HttpRequest&, TokenRule rule) {
                       asked_.push_back(rule);
                       return std::nullopt;
                     },
                     FormatOpenAiError};
  EasPaths paths_{router_, routes_, FormatOpenAiError};
  RecordingWriter writer_;
  std::unique_ptr<HttpOperation> operation_;
  std::string route_;
};

TEST_F(EasPathsTest, WhatFollowsTheServiceIsThePath) {
  Ask("POST", "/api/predict/smollm2/v1/chat/completions", kChat);
  EXPECT_EQ(route_, "/v1/chat/completions");
  ASSERT_EQ(router_.requests().size(), 1u);
  EXPECT_EQ(router_.requests()[0].service, "smollm2");
  router_.LatestSink(0).OnAccepted(3);
  router_.LatestSink(0).OnDelta(0, {.content = "Hello"}, 1);
  router_.LatestSink(0).OnFinished(0, FinishReason::kStop, {.prompt_tokens = 3});
  EXPECT_EQ(Response().status, 200);
  EXPECT_EQ(Body()["choices"][0]["message"]["content"], "Hello");
}

TEST_F(EasPathsTest, ARequestWithoutAModelNamesTheService) {
  Ask("POST", "/api/predict/R1_Distill/v1/chat/completions", kChat);
  EXPECT_EQ(router_.requests()[0].model, "R1_Distill");
}

TEST_F(EasPathsTest, TheModelOfTheBodyStays) {
  Ask("POST", "/api/predict/smollm2/v1/chat/completions",
      R"({"model":"other","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(router_.requests()[0].model, "other");
  EXPECT_EQ(router_.requests()[0].service, "smollm2");
}

TEST_F(EasPathsTest, OtherPathsNameNoService) {
  Ask("POST", "/v1/chat/completions", kChat);
  EXPECT_EQ(router_.requests()[0].service, "");
  EXPECT_EQ(router_.requests()[0].model, "");
}

TEST_F(EasPathsTest, ListsTheModelsOfTheService) {
  Ask("GET", "/api/predict/r1_distill/v1/models");
  ASSERT_EQ(Body()["data"].size(), 1u);
  EXPECT_EQ(Body()["data"][0]["id"], "r1-distill");
  Ask("GET", "/v1/models");
  EXPECT_EQ(Body()["data"].size(), 2u);
}

TEST_F(EasPathsTest, AFullQueueIs450AndEndsTheConnection) {
  Ask("POST", "/api/predict/smollm2/v1/chat/completions", kChat);
  const GenerateError full = {.status = absl::ResourceExhaustedError("full"),
                              .reason = "queue_full"};
  router_.LatestSink(0).OnFailed(full);
  EXPECT_EQ(Response().status, 450);
  EXPECT_TRUE(Response().close);
  EXPECT_EQ(Body()["error"]["code"], "queue_full");

  Ask("POST", "/v1/chat/completions", kChat);
  router_.LatestSink(0).OnFailed(full);
  EXPECT_EQ(Response().status, 429);
  EXPECT_FALSE(Response().close);
}

TEST_F(EasPathsTest, ADeadlineIs408AndOthersKeepTheirNumbers) {
  Ask("POST", "/api/predict/smollm2/v1/chat/completions", kChat);
  router_.LatestSink(0).OnFailed(
      {.status = absl::DeadlineExceededError("over"), .reason = "deadline"});
  EXPECT_EQ(Response().status, 408);
  EXPECT_TRUE(Response().close);

  Ask("POST", "/api/predict/smollm2/v1/chat/completions", kChat);
  router_.LatestSink(0).OnFailed({.status = absl::UnavailableError("no healthy upstream: none"),
                                  .reason = "no_ready_replica"});
  EXPECT_EQ(Response().status, 503);
  EXPECT_FALSE(Response().close);
  EXPECT_THAT(Response().body, HasSubstr("no healthy upstream"));
}

TEST_F(EasPathsTest, SaysWhetherAServiceIsReady) {
  for (const char* path : {"/api/predict/smollm2", "/api/predict/smollm2/"}) {
    Ask("GET", path);
    EXPECT_EQ(Response().status, 200);
    EXPECT_EQ(Response().body, "1 of 2 replicas are ready\n");
  }
  Ask("GET", "/api/predict/r1-distill");
  EXPECT_EQ(Response().status, 503);
  EXPECT_EQ(Response().body, "no healthy upstream");
  Ask("GET", "/api/predict/unheard");
  EXPECT_EQ(Response().status, 404);
  Ask("GET", "/api/predict");
  EXPECT_EQ(Response().status, 404);
}

TEST_F(EasPathsTest, SaysThatAPathMustFollow) {
  Ask("POST", "/api/predict/smollm2", kChat);
  EXPECT_EQ(Response().status, 404);
  EXPECT_THAT(Body()["error"]["message"].get<std::string>(),
              HasSubstr("/api/predict/smollm2/v1/chat/completions"));
}

TEST_F(EasPathsTest, AServiceWithinAServiceIsNoPath) {
  Ask("GET", "/api/predict/smollm2/api/predict/r1-distill");
  EXPECT_EQ(Response().status, 404);
}

TEST_F(EasPathsTest, TellsWhereAServiceIs) {
  for (const char* path : {"/exported/apis/eas.alibaba-inc.k8s.io/v1/upstreams/smollm2",
                           "/api/v1/servicediscovery/upstreams/smollm2"}) {
    Ask("GET", path);
    EXPECT_EQ(asked_.back(), TokenRule::kNever);
    EXPECT_EQ(Body(), json::parse(R"({"correlative":["smollm2"],"endpoints":{"items":[
        {"app":"smollm2","ip":"10.0.0.7","port":8080,"weight":100}]}})"));
  }
  Ask("GET", "/api/v1/servicediscovery/upstreams/r1-distill");
  EXPECT_EQ(Body()["endpoints"]["items"].size(), 0u);
  Ask("GET", "/api/v1/servicediscovery/upstreams/unheard");
  EXPECT_EQ(Response().status, 404);
}

TEST_F(EasPathsTest, ServicesAskForATokenAndStrangersLearnNothing) {
  Ask("GET", "/api/predict/smollm2");
  EXPECT_EQ(asked_.back(), TokenRule::kAlways);
  Ask("GET", "/api/predict/smollm2/v1/models");
  EXPECT_EQ(asked_.back(), TokenRule::kAlways);
}

}  // namespace
}  // namespace spillway
