#include "router/provider_flow.h"

#include <memory>
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
    flow.OnBroken(/*never_sent=*/false, kNow, actions);
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

TEST(ProviderSetTest, APriceCountsWhereTheModelIs) {
  ProviderConfig priced = Provider("a");
  priced.prices = {{"Mine", {.input_nano = 1}}};
  const ProviderSet set({Provider("b"), priced});
  EXPECT_TRUE(set.IsPriced("mine"));
  EXPECT_EQ(set.PriceOf(0, "mine"), nullptr);
  EXPECT_EQ(set.PriceOf(1, "mine")->input_nano, 1);
  EXPECT_FALSE(set.IsPriced("another"));
  EXPECT_FALSE(ProviderSet({Provider("b")}).IsPriced("mine"));
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

// ---- under a budget ----

constexpr int64_t kTokenPrice = 1'000'000;  // a token costs one

ProviderConfig Priced(const std::string& name) {
  ProviderConfig config = Provider(name);
  config.prices = {
      {"mine", {.currency = "CNY", .input_nano = kTokenPrice, .output_nano = 2 * kTokenPrice}}};
  return config;
}

const MoneyRefusal kNoMoney = {.message = "the budget is spent", .free_in = absl::Hours(2)};

class ProviderFlowBudgetTest : public ::testing::Test {
 protected:
  std::unique_ptr<ProviderFlow> Start(ProviderSet& providers, const std::string& members) {
    auto flow = std::make_unique<ProviderFlow>(
        providers,
        ProviderRequest{.body = absl::StrCat(R"({"model":"Mine",)", members, "}"),
                        .model = "mine",
                        .client_model = "Mine",
                        .under_budget = true},
        CallLimits());
    flow->Start(kNow, actions_);
    return flow;
  }
  template <typename What>
  What Last() {
    return std::get<What>(actions_.back());
  }

  ProviderSet two_{{Priced("a"), Priced("b")}};
  ProviderSet two_unpriced_{{Provider("a"), Provider("b")}};
  ProviderActions actions_;
};

TEST_F(ProviderFlowBudgetTest, TheBoundIsOfWhatIsSent) {
  const auto flow = Start(two_, R"("max_tokens":100,"n":2)");
  const auto send = Last<SendToProvider>();
  EXPECT_EQ(send.bound->nano, static_cast<int64_t>(send.request.body.size()) + 2 * 2 * 100);
  EXPECT_EQ(send.bound->currency, "CNY");
  EXPECT_TRUE(flow->awaits_money());
  EXPECT_FALSE(flow->was_sent());
  flow->OnMoneyGranted(kNow);
  EXPECT_TRUE(flow->was_sent());
}

TEST_F(ProviderFlowBudgetTest, LimitsAreAlwaysSaid) {
  for (const char* members : {R"("n":1)", R"("max_tokens":null)", R"("max_tokens":-1)"}) {
    Start(two_, members);
    EXPECT_THAT(Last<SendToProvider>().request.body, HasSubstr(R"("max_tokens":4096)")) << members;
  }
  Start(two_, R"("max_tokens":20000)");
  EXPECT_EQ(Last<SendToProvider>().request.output_tokens_max, 20000);
  Start(two_, R"("max_tokens":0)");
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "invalid_request");
}

TEST_F(ProviderFlowBudgetTest, WithoutABudgetNothingIsAskedForButTheCostIsTold) {
  for (const bool priced : {true, false}) {
    ProviderSet one({priced ? Priced("a") : Provider("a")});
    Flow flow(one, R"("n":1)");
    EXPECT_FALSE(std::get<SendToProvider>(flow.actions[0]).bound);
    flow.actions.clear();
    flow.flow.OnHead(200, kJson, "", kNow, kNow);
    flow.flow.OnBytes(kWhole, kNow, flow.actions);
    flow.flow.OnEnd(kNow, flow.actions);
    const auto cost = std::get<AttemptEnded>(flow.actions[1]).cost_nano;
    EXPECT_EQ(cost, priced ? std::optional<int64_t>(3 + 2 * 2) : std::nullopt);
  }
}

TEST_F(ProviderFlowBudgetTest, WhatAnAnswerCostIsSettledByItsUsage) {
  const auto flow = Start(two_, R"("stream":true)");
  flow->OnMoneyGranted(kNow);
  flow->OnHead(200, kEvents, "", kNow, kNow);
  flow->OnBytes(absl::StrCat(std::string(kChunk), std::string(kEnd)), kNow, actions_);
  const auto& ended = std::get<AttemptEnded>(actions_[actions_.size() - 2]);
  EXPECT_EQ(ended.cost_nano, 3 + 2 * 2);
  EXPECT_EQ(ended.currency, "CNY");
}

TEST_F(ProviderFlowBudgetTest, RefusedItGoesToTheNextAndThenNowhere) {
  const auto flow = Start(two_, R"("n":1)");
  flow->OnMoneyRefused(kNoMoney, kNow, actions_);
  EXPECT_EQ(Last<SendToProvider>().provider, 1u);
  flow->OnMoneyRefused(kNoMoney, kNow, actions_);
  const auto failure = Last<ProviderFailure>();
  EXPECT_EQ(failure.error.reason, "budget_exceeded");
  EXPECT_EQ(failure.error.retry_after, absl::Hours(2));
  EXPECT_FALSE(failure.of_request);
  EXPECT_FALSE(flow->was_sent());
  EXPECT_TRUE(flow->ended());
}

TEST_F(ProviderFlowBudgetTest, RefusalsTakeNothingOfAProvidersRates) {
  ProviderConfig config = Priced("a");
  config.rate = {.requests_per_minute = 1};
  ProviderSet one({config});
  for (int i = 0; i < 3; ++i) {
    const auto flow = Start(one, R"("n":1)");
    flow->OnMoneyRefused(kNoMoney, kNow, actions_);
    EXPECT_EQ(Last<ProviderFailure>().error.reason, "budget_exceeded");
  }
}

TEST_F(ProviderFlowBudgetTest, AStoreThatFailsSendsNothing) {
  ProviderSet one({Priced("a")});
  Start(one, R"("n":1)")
      ->OnMoneyRefused({.reason = MoneyRefusal::Reason::kStoreFailed}, kNow, actions_);
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "budget_unavailable");
  // Nor does one that says nothing.
  const auto flow = Start(one, R"("n":1)");
  actions_.clear();
  flow->OnTick(kNow + ProviderFlow::kMoneyWait - absl::Seconds(1), false, actions_);
  EXPECT_TRUE(actions_.empty());
  flow->OnTick(kNow + ProviderFlow::kMoneyWait, false, actions_);
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "budget_unavailable");
}

TEST_F(ProviderFlowBudgetTest, WhatFailedBeforeIsToldWhereNothingIsLeftForMore) {
  const auto flow = Start(two_, R"("n":1)");
  flow->OnMoneyGranted(kNow);
  flow->OnHead(429, kJson, "7", kNow, kNow);
  flow->OnBytes(Error("Throttling.RateQuota"), kNow, actions_);
  flow->OnEnd(kNow, actions_);
  EXPECT_EQ(std::get<AttemptEnded>(actions_[actions_.size() - 2]).cost_nano, 0);
  flow->OnMoneyRefused(kNoMoney, kNow, actions_);
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "provider_throttled");
  EXPECT_EQ(flow->provider(), 0u);
  EXPECT_TRUE(flow->was_sent());
}

TEST_F(ProviderFlowBudgetTest, WhatHasNoPriceIsPassedOver) {
  ProviderSet second({Provider("a"), Priced("b")});
  Start(second, R"("n":1)");
  EXPECT_EQ(Last<SendToProvider>().provider, 1u);
  Start(two_unpriced_, R"("n":1)");
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "not_priced");
  EXPECT_THAT(std::string(Last<ProviderFailure>().error.status.message()),
              HasSubstr("--provider-price"));
  Start(two_, R"("messages":[{"content":[{"type":"image_url"}]}])");
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "not_priced");
  EXPECT_THAT(std::string(Last<ProviderFailure>().error.status.message()), HasSubstr("image_url"));
}

TEST_F(ProviderFlowBudgetTest, WhatBrokeMayCostAllOfItUnlessItNeverLeft) {
  for (const bool never_sent : {false, true}) {
    ProviderSet one({Priced("a")});
    const auto flow = Start(one, R"("n":1)");
    const int64_t bound = Last<SendToProvider>().bound->nano;
    flow->OnMoneyGranted(kNow);
    actions_.clear();
    flow->OnBroken(never_sent, kNow, actions_);
    EXPECT_EQ(std::get<AttemptEnded>(actions_[0]).cost_nano, never_sent ? 0 : bound);
  }
}

TEST_F(ProviderFlowBudgetTest, WhatIsRefusedBehindAPieceMayCostAllOfIt) {
  for (const bool piece : {false, true}) {
    ProviderSet one({Priced("a")});
    const auto flow = Start(one, R"("stream":true)");
    const int64_t bound = Last<SendToProvider>().bound->nano;
    flow->OnMoneyGranted(kNow);
    actions_.clear();
    flow->OnHead(200, kEvents, "", kNow, kNow);
    if (piece) flow->OnBytes(kChunk, kNow, actions_);
    flow->OnBytes(absl::StrCat("data: ", Error("Throttling.RateQuota"), "\n\n"), kNow, actions_);
    const auto& ended = std::get<AttemptEnded>(actions_[actions_.size() - 2]);
    EXPECT_EQ(ended.cost_nano, piece ? bound : 0);
  }
}

TEST_F(ProviderFlowBudgetTest, EachPromptOfACompletionIsInTheBound) {
  ProviderFlow flow(two_,
                    {.kind = ProviderRequestKind::kCompletion,
                     .body = R"({"model":"mine","max_tokens":100,"prompt":["a","b","c"],"n":2})",
                     .model = "mine",
                     .client_model = "mine",
                     .under_budget = true},
                    CallLimits());
  flow.Start(kNow, actions_);
  const auto send = Last<SendToProvider>();
  EXPECT_EQ(send.bound->nano, static_cast<int64_t>(send.request.body.size()) + 3 * 2 * 2 * 100);
}

TEST_F(ProviderFlowBudgetTest, WhoLeavesPaysForWhatWasSentAlone) {
  auto flow = Start(two_, R"("n":1)");
  const int64_t bound = Last<SendToProvider>().bound->nano;
  actions_.clear();
  flow->Cancel(kNow, actions_);
  EXPECT_TRUE(actions_.empty());
  flow = Start(two_, R"("n":1)");
  flow->OnMoneyGranted(kNow);
  flow->Cancel(kNow, actions_);
  EXPECT_EQ(Last<AttemptEnded>().cost_nano, bound);
}

TEST_F(ProviderFlowBudgetTest, AnAnswerWithoutAnEndIsStoppedWhereItsMoneyEnds) {
  const auto flow = Start(two_, R"("stream":true,"max_tokens":10)");
  const int64_t bound = Last<SendToProvider>().bound->nano;
  flow->OnMoneyGranted(kNow);
  flow->OnHead(200, kEvents, "", kNow, kNow);
  const std::string chunk = absl::StrCat(R"(data: {"choices":[{"index":0,"delta":{"content":")",
                                         std::string(80, 'a'), "\"}}]}\n\n");
  int chunks = 0;
  for (; !flow->ended() && chunks < 1000; ++chunks) flow->OnBytes(chunk, kNow, actions_);
  // Ten tokens in each, at least, of two.
  EXPECT_EQ(chunks, (bound + 19) / 20);
  const auto& ended = std::get<AttemptEnded>(actions_[actions_.size() - 2]);
  EXPECT_EQ(ended.outcome, "over_reservation");
  EXPECT_TRUE(ended.alert);
  EXPECT_EQ(ended.cost_nano, 20 * chunks);
  EXPECT_EQ(Last<ProviderFailure>().error.reason, "provider_failed");
}

}  // namespace
}  // namespace spillway
