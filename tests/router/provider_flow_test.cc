#include "router/provider_flow.h"

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "router/error_table.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
constexpr std::string_view kEvents = "text/event-stream";
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kChunk =
    "data: {\"model\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
constexpr std::string_view kEnd =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n"
    "data: [DONE]\n\n";
constexpr std::string_view kWhole =
    "{\"choices\":[{\"index\":0,\"message\":{},\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}";

ProviderConfig Provider(const std::string& name) {
  return {.name = name,
          .row = FindProvider("bailian"),
          .key_name = "KEY",
          .models = {{"mine", "theirs-" + name}}};
}

std::string Error(std::string_view code) {
  return absl::StrCat(R"({"error":{"code":")", std::string(code), R"(","message":"why"}})");
}

// A flow through providers, and what it wanted and said, in words.
class Flow {
 public:
  explicit Flow(ProviderSet& providers, const std::string& members = R"("stream":true)",
                const std::string& model = "mine")
      : flow(providers,
             {.kind = ProviderRequestKind::kChat,
              .body = absl::StrCat(R"({"model":"Mine",)", members, "}"),
              .model = model,
              .client_model = "Mine"},
             CallLimits()) {
    flow.Start(kNow, actions);
  }

  Flow& Answer(int status, std::string_view type, std::string_view bytes) {
    flow.OnHead(status, type, "", kNow, kNow);
    flow.OnBytes(bytes, kNow, actions);
    return *this;
  }
  Flow& Refuse(int status, std::string_view code) {
    flow.OnHead(status, kJson, "", kNow, kNow);
    flow.OnBytes(Error(code), kNow, actions);
    flow.OnEnd(kNow, actions);
    return *this;
  }
  Flow& Break() {
    flow.OnBroken(kNow, actions);
    return *this;
  }

  std::string Words() {
    std::string words;
    for (const ProviderFlowAction& action : actions) {
      if (const auto* send = std::get_if<SendToProvider>(&action)) {
        absl::StrAppend(&words, "send", send->provider, " ");
      } else if (const auto* ended = std::get_if<AttemptEnded>(&action)) {
        absl::StrAppend(&words, std::string(ended->outcome), ended->provider, " ");
      } else if (const auto* failed = std::get_if<ProviderFailure>(&action)) {
        absl::StrAppend(&words, "FAILED:", failed->error.reason, " ");
      } else {
        words += std::holds_alternative<CallBegan>(action)    ? "began "
                 : std::holds_alternative<CallChunk>(action)  ? "chunk "
                 : std::holds_alternative<CallAnswer>(action) ? "answer "
                                                              : "FINISHED ";
      }
    }
    actions.clear();
    return words;
  }

  ProviderActions actions;
  ProviderFlow flow;
};

class ProviderFlowTest : public ::testing::Test {
 protected:
  ProviderSet two_{{Provider("a"), Provider("b")}};
};

TEST_F(ProviderFlowTest, TheFirstThatHasItAnswers) {
  Flow flow(two_);
  const auto& send = std::get<SendToProvider>(flow.actions.front());
  EXPECT_EQ(send.path, "/chat/completions");
  EXPECT_THAT(send.request.body, HasSubstr(R"("model":"theirs-a")"));
  EXPECT_EQ(flow.Words(), "send0 ");
  flow.Answer(200, kEvents, kChunk);
  EXPECT_THAT(std::get<CallChunk>(flow.actions.back()).json, HasSubstr(R"("model":"Mine")"));
  flow.flow.OnBytes(kEnd, kNow + absl::Seconds(2), flow.actions);
  const auto& ended = std::get<AttemptEnded>(flow.actions[3]);
  EXPECT_EQ(ended.usage->completion_tokens, 2);
  EXPECT_EQ(ended.took, absl::Seconds(2));
  EXPECT_EQ(ended.to_first, absl::ZeroDuration());
  // The usage was ours alone to ask for.
  EXPECT_EQ(flow.Words(), "began chunk chunk finished0 FINISHED ");
  EXPECT_TRUE(flow.flow.ended());
}

TEST_F(ProviderFlowTest, AnUnstreamedAnswer) {
  Flow flow(two_, R"("n":1)");
  flow.flow.OnHead(200, kJson, "", kNow, kNow);
  flow.flow.OnBytes(kWhole, kNow, flow.actions);
  flow.flow.OnEnd(kNow, flow.actions);
  EXPECT_EQ(flow.Words(), "send0 answer finished0 FINISHED ");
}

TEST_F(ProviderFlowTest, WhatFailsBeforeAPieceGoesToTheNext) {
  EXPECT_EQ(Flow(two_).Break().Words(), "send0 provider_broken0 send1 ");
  EXPECT_EQ(Flow(two_).Refuse(500, "InternalError").Words(), "send0 provider_failed0 send1 ");
  EXPECT_EQ(Flow(two_)
                .Answer(200, kEvents, "data: {\"error\":{\"code\":\"internal_error\"}}\n\n")
                .Words(),
            "send0 provider_failed0 send1 ");
}

TEST_F(ProviderFlowTest, AfterAPieceItStays) {
  for (const bool error_event : {true, false}) {
    Flow flow(two_);
    flow.Answer(200, kEvents, kChunk);
    if (error_event) {
      flow.flow.OnBytes("data: {\"error\":{\"code\":\"internal_error\"}}\n\n", kNow, flow.actions);
    } else {
      flow.Break();
    }
    EXPECT_THAT(flow.Words(),
                ::testing::MatchesRegex("send0 began chunk provider_.*0 FAILED:provider_failed "));
  }
}

TEST_F(ProviderFlowTest, TheClientsOwnMistakeGoesNowhereElse) {
  for (const auto& [code, reason] : std::vector<std::pair<std::string, std::string>>{
           {"invalid_parameter_error", "invalid_request"},
           {"data_inspection_failed", "content_filter"}}) {
    Flow flow(two_);
    flow.Refuse(400, code);
    const auto& failed = std::get<ProviderFailure>(flow.actions.back());
    EXPECT_TRUE(failed.of_request);
    EXPECT_THAT(std::string(failed.error.status.message()), HasSubstr("why"));
    EXPECT_EQ(flow.Words(), absl::StrCat("send0 ", reason, "0 FAILED:", reason, " "));
  }
}

TEST_F(ProviderFlowTest, ATimeOutIsNotSentAgain) {
  Flow flow(two_);
  flow.flow.OnTick(kNow + absl::Hours(1), /*held_up=*/false, flow.actions);
  EXPECT_EQ(flow.Words(), "send0 provider_timeout0 FAILED:provider_timeout ");
}

TEST_F(ProviderFlowTest, SilenceThatIsOursIsNone) {
  Flow flow(two_);
  flow.Answer(200, kEvents, kChunk).Words();
  flow.flow.OnTick(kNow + absl::Hours(1), /*held_up=*/true, flow.actions);
  flow.flow.OnTick(kNow + absl::Hours(1), /*held_up=*/false, flow.actions);
  EXPECT_EQ(flow.Words(), "");
}

TEST_F(ProviderFlowTest, AThirdTimeIsToTheOneThatMerelyFailedAndAFourthThereIsNot) {
  Flow flow(two_);
  flow.Break().Break();
  EXPECT_EQ(flow.Words(), "send0 provider_broken0 send1 provider_broken1 send0 ");
  flow.Break();
  EXPECT_EQ(flow.Words(), "provider_broken0 FAILED:provider_failed ");
}

TEST_F(ProviderFlowTest, WhoIsBusyIsNotAskedAgain) {
  Flow flow(two_);
  flow.Refuse(429, "Throttling.RateQuota").Refuse(429, "Throttling.RateQuota");
  EXPECT_EQ(flow.Words(), "send0 throttled0 send1 throttled1 FAILED:provider_throttled ");
  // Nor by the next request: both circuits are open.
  Flow next(two_);
  const auto& failed = std::get<ProviderFailure>(next.actions.back());
  EXPECT_EQ(failed.error.retry_after, absl::Seconds(1));
  EXPECT_EQ(next.Words(), "FAILED:provider_unavailable ");
}

TEST_F(ProviderFlowTest, AnOpenCircuitIsPassedOver) {
  Flow(two_).Refuse(400, "Arrearage");
  EXPECT_EQ(Flow(two_).Words(), "send1 ");
}

TEST_F(ProviderFlowTest, WhatAProviderSaysOfItsAccountStaysHere) {
  ProviderSet one({Provider("a")});
  Flow flow(one);
  flow.flow.OnHead(403, kJson, "", kNow, kNow);
  flow.flow.OnBytes(R"({"error":{"code":"Arrearage","message":"account 4711 of me@x.cn"}})", kNow,
                    flow.actions);
  flow.flow.OnEnd(kNow, flow.actions);
  const auto& failed = std::get<ProviderFailure>(flow.actions.back());
  EXPECT_EQ(failed.error.reason, "provider_unavailable");
  EXPECT_EQ(failed.error.status.message(), "a doesn't serve this server now (billing)");
}

TEST_F(ProviderFlowTest, TheRetryBudgetEndsIt) {
  ProviderSet providers({Provider("a"), Provider("b")}, CircuitLimits{.failures_in_a_row = 1000},
                        RetryLimits{.percent_of_requests = 0, .retries_min = 2});
  int sent_twice = 0;
  for (int i = 0; i < 10; ++i) {
    Flow flow(providers);
    flow.Break();
    if (flow.Words() == "send0 provider_broken0 send1 ") ++sent_twice;
  }
  EXPECT_EQ(sent_twice, 2);
}

TEST_F(ProviderFlowTest, BeyondTheRateNothingIsSent) {
  ProviderConfig config = Provider("a");
  config.rate.requests_per_minute = 60;
  ProviderSet one({config});
  Flow first(one);
  EXPECT_EQ(first.Words(), "send0 ");
  Flow second(one);
  EXPECT_GT(std::get<ProviderFailure>(second.actions.back()).error.retry_after,
            absl::Milliseconds(900));
  EXPECT_EQ(second.Words(), "FAILED:provider_throttled ");
}

TEST_F(ProviderFlowTest, NobodyHasTheModel) {
  EXPECT_EQ(Flow(two_, R"("n":1)", "another").Words(), "FAILED:model_not_found ");
}

TEST_F(ProviderFlowTest, NamesAsTheyAreWhereThatIsAllowed) {
  ProviderConfig config = Provider("a");
  config.any_model = true;
  ProviderSet one({config});
  Flow flow(one, R"("n":1)", "another");
  EXPECT_THAT(std::get<SendToProvider>(flow.actions.front()).request.body,
              HasSubstr(R"("model":"another")"));
}

TEST_F(ProviderFlowTest, GivenUpItSaysSoAndLetsTheNextProbe) {
  ProviderSet one({Provider("a")}, CircuitLimits{.failures_in_a_row = 1});
  Flow(one).Break();
  {
    Flow probe(one);
    EXPECT_EQ(probe.Words(), "FAILED:provider_unavailable ");
  }
  const absl::Time later = kNow + absl::Seconds(2);
  ProviderFlow probe(one, {.body = "{}", .model = "mine"}, CallLimits());
  ProviderActions actions;
  probe.Start(later, actions);
  ASSERT_TRUE(std::holds_alternative<SendToProvider>(actions.back()));
  probe.Cancel(later, actions);
  EXPECT_EQ(std::get<AttemptEnded>(actions.back()).outcome, "cancelled");
  ProviderFlow next(one, {.body = "{}", .model = "mine"}, CallLimits());
  next.Start(later, actions);
  EXPECT_TRUE(std::holds_alternative<SendToProvider>(actions.back()));
}

TEST_F(ProviderFlowTest, WrongBodiesAreRefusedHere) {
  EXPECT_EQ(Flow(two_, R"("n":"x")").Words(), "FAILED:invalid_request ");
}

TEST_F(ProviderFlowTest, EachFailureHasARowOfItsOwnInTheTableOfErrors) {
  for (const ProviderAction action :
       {ProviderAction::kPassOn, ProviderAction::kContentFilter, ProviderAction::kBackOff,
        ProviderAction::kTryAgain, ProviderAction::kGiveUp, ProviderAction::kBlockModel,
        ProviderAction::kBlockKey}) {
    const ProviderFailure failure = FailureOf("a", {.verdict = {action, "reason", false}});
    EXPECT_EQ(FindErrorRow(failure.error.status.code(), failure.error.reason).reason,
              failure.error.reason);
  }
}

TEST(ProviderSetTest, NamesInAnySpelling) {
  const ProviderSet providers({Provider("a")});
  EXPECT_EQ(providers.MappedName(0, "Mine"), "theirs-a");
  EXPECT_EQ(providers.LabelFor("MINE"), "mine");
  EXPECT_EQ(providers.LabelFor("another"), "any");
  EXPECT_EQ(providers.NameFor(0, "another"), std::nullopt);
}

TEST(ProviderSetTest, MightTakeWhatIsInAMapAndNotShut) {
  ProviderConfig open = Provider("a");
  open.any_model = true;
  ProviderSet providers({open});
  EXPECT_TRUE(providers.MightTake("mine", kNow));
  EXPECT_FALSE(providers.MightTake("another", kNow));
  const ProviderPermit permit = providers.Ask(0, "theirs-a", 1, kNow);
  providers.OnError(permit, {ProviderAction::kBlockKey, "billing", true}, absl::ZeroDuration(),
                    kNow);
  EXPECT_FALSE(providers.MightTake("mine", kNow));
  EXPECT_TRUE(providers.MightTake("mine", kNow + absl::Minutes(2)));
}

}  // namespace
}  // namespace spillway
