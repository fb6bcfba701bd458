#include "server/providers/provider_run.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kTokenPrice = 1'000'000;  // a token costs one
const MoneyRefusal kNoMoney = {.message = "the budget is spent", .free_in = absl::Hours(2)};
const MoneyRefusal kNoStore = {.reason = MoneyRefusal::Reason::kStoreFailed,
                               .message = "disk full"};

// Keeps what it is asked until the test answers.
class FakeBudget : public Budget {
 public:
  void Reserve(MoneyAsk ask, Done done) override {
    asks.push_back(ask);
    dones.push_back(std::move(done));
  }
  void Settle(std::string id, int64_t cost_nano) override { settled[id] = cost_nano; }

  std::vector<MoneyAsk> asks;
  std::vector<Done> dones;
  std::map<std::string, int64_t> settled;
};

// Keeps what is sent over it until the test answers.
class FakePool : public HttpPool {
 public:
  class Exchange : public HttpExchange {
   public:
    explicit Exchange(FakePool& pool) : pool_(pool) { ++pool_.open; }
    ~Exchange() override { --pool_.open; }
    void Pause() override {}
    void Resume() override {}
    void LetGo() override {}

   private:
    FakePool& pool_;
  };

  std::unique_ptr<HttpExchange> Begin(std::string_view, std::string_view body,
                                      ExchangeSink& to) override {
    bodies.emplace_back(body);
    sink = &to;
    return std::make_unique<Exchange>(*this);
  }
  void Close() override {}
  size_t connections() const override { return 0; }
  size_t idle_connections() const override { return 0; }
  size_t waiting() const override { return 0; }

  void Begin(const std::string& type) {
    const HttpLimits limits;
    ResponseReader head(limits);
    std::string none;
    const std::string text = absl::StrCat("HTTP/1.1 200 OK\r\nContent-Type: ", type, "\r\n\r\n");
    ASSERT_TRUE(head.Read(text, none).ok());
    sink->OnHead(head);
  }
  void Answer(std::string_view body) {
    Begin("application/json");
    sink->OnBody(body);
    sink->OnEnd();
  }

  std::vector<std::string> bodies;
  ExchangeSink* sink = nullptr;
  int open = 0;
};

class FakeSink : public ProviderSink {
 public:
  void OnBegan(std::string_view) override { said += "began "; }
  void OnChunk(std::string_view) override { said += "chunk "; }
  void OnAnswer(std::string_view provider, std::string) override {
    said += absl::StrCat("answer of ", std::string(provider), " ");
  }
  void OnFinished(const CallFinished&) override { said += "finished"; }
  bool OnFailed(ProviderFailure& failure) override {
    said += failure.error.reason;
    return !goes_elsewhere;
  }
  void OnBatchEnd() override {}

  std::string said;
  bool goes_elsewhere = false;
};

class Books : public RequestObserver {
 public:
  void OnRequestEnd(const RequestSummary& summary) override {
    costs.push_back(absl::StrCat(summary.cost_nano, std::string(summary.currency), " ",
                                 std::string(summary.provider)));
  }
  std::vector<std::string> costs;
};

ProviderConfig Priced(const std::string& name) {
  return {
      .name = name,
      .row = FindProvider("generic"),
      .models = {{"mine", "theirs"}},
      .prices = {{"mine",
                  {.currency = "CNY", .input_nano = kTokenPrice, .output_nano = 2 * kTokenPrice}}}};
}

class ProviderRunTest : public ::testing::Test {
 protected:
  void Start() {
    run_ = std::make_unique<ProviderRun>(
        gateway_,
        ProviderRequest{
            .body = R"({"model":"mine","max_tokens":10})", .model = "mine", .client_model = "mine"},
        ProviderClient{.token_id = "tok_1",
                       .budgets = {{.name = "tok_1", .currency = "CNY", .limit_nano = 100}}},
        sink_);
    run_->Start();
  }
  // What the desk's thread does, and then the gateway's.
  void Decide(size_t ask, std::optional<MoneyRefusal> refusal) {
    budget_.dones[ask](std::move(refusal));
    while (!posted_.empty()) {
      const auto next = std::move(posted_.front());
      posted_.pop_front();
      next();
    }
  }

  ManualClock clock_;
  MetricRegistry metrics_;
  FakeBudget budget_;
  FakePool first_;
  FakePool second_;
  Books books_;
  std::deque<std::function<void()>> posted_;
  ProviderSet providers_{{Priced("a"), Priced("b")}};
  ProviderGateway gateway_{
      providers_,
      {&first_, &second_},
      true,
      SpillPolicy(),
      clock_,
      metrics_,
      &books_,
      {.budget = &budget_,
       .post = [this](std::function<void()> function) { posted_.push_back(std::move(function)); },
       .id_prefix = "p"}};
  FakeSink sink_;
  std::unique_ptr<ProviderRun> run_;
};

constexpr std::string_view kAnswer =
    R"({"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":3,"completion_tokens":2}})";

TEST_F(ProviderRunTest, NothingLeavesBeforeItsMoneyIsGrantedAndItsCostIsSettled) {
  Start();
  ASSERT_EQ(budget_.asks.size(), 1u);
  EXPECT_EQ(budget_.asks[0].token_id, "tok_1");
  EXPECT_EQ(budget_.asks[0].limits.size(), 1u);
  EXPECT_THAT(first_.bodies, IsEmpty());
  Decide(0, std::nullopt);
  ASSERT_EQ(first_.bodies.size(), 1u);
  EXPECT_EQ(budget_.asks[0].amount_nano, static_cast<int64_t>(first_.bodies[0].size()) + 2 * 10);
  first_.Answer(kAnswer);
  EXPECT_EQ(sink_.said, "answer of a finished");
  EXPECT_EQ(budget_.settled, (std::map<std::string, int64_t>{{"p-1", 7}}));
  EXPECT_THAT(books_.costs, ElementsAre("7CNY a"));
}

TEST_F(ProviderRunTest, RefusedItGoesToNobody) {
  Start();
  Decide(0, kNoMoney);
  Decide(1, kNoMoney);
  EXPECT_EQ(sink_.said, "budget_exceeded");
  EXPECT_THAT(first_.bodies, IsEmpty());
  EXPECT_THAT(second_.bodies, IsEmpty());
  EXPECT_THAT(budget_.settled, IsEmpty());
  EXPECT_THAT(books_.costs, ElementsAre("0 "));
}

TEST_F(ProviderRunTest, WhereTheStoreFailsNothingIsSent) {
  Start();
  Decide(0, kNoStore);
  Decide(1, kNoStore);
  EXPECT_EQ(sink_.said, "budget_unavailable");
  EXPECT_THAT(first_.bodies, IsEmpty());
}

TEST_F(ProviderRunTest, WhatIsGrantedAfterTheClientLeftIsGivenBack) {
  Start();
  run_.reset();
  Decide(0, std::nullopt);
  EXPECT_THAT(first_.bodies, IsEmpty());
  EXPECT_EQ(budget_.settled, (std::map<std::string, int64_t>{{"p-1", 0}}));
  Start();
  run_.reset();
  Decide(1, kNoMoney);  // nothing was reserved
  EXPECT_EQ(budget_.settled.size(), 1u);
}

TEST_F(ProviderRunTest, WhoLeavesAfterItWasSentPaysInFull) {
  Start();
  Decide(0, std::nullopt);
  run_.reset();
  EXPECT_EQ(budget_.settled["p-1"], budget_.asks[0].amount_nano);
  EXPECT_EQ(first_.open, 0);
  EXPECT_THAT(books_.costs, ElementsAre(absl::StrCat(budget_.asks[0].amount_nano, "CNY a")));
}

TEST_F(ProviderRunTest, EachAttemptHasAReservationOfItsOwn) {
  Start();
  Decide(0, std::nullopt);
  first_.sink->OnBroken(absl::UnavailableError("nobody answers"));
  EXPECT_EQ(budget_.settled, (std::map<std::string, int64_t>{{"p-1", 0}}));
  EXPECT_THAT(second_.bodies, IsEmpty());
  Decide(1, std::nullopt);
  second_.sink->OnBroken(absl::DataLossError("it broke off"));
  EXPECT_EQ(budget_.settled["p-2"], budget_.asks[1].amount_nano);
  // Once more to the first.
  Decide(2, std::nullopt);
  first_.Answer(kAnswer);
  EXPECT_EQ(budget_.settled["p-3"], 7);
  EXPECT_THAT(books_.costs, ElementsAre(absl::StrCat(7 + budget_.asks[1].amount_nano, "CNY a")));
}

TEST_F(ProviderRunTest, WhatGoesBeyondItsMoneyIsCutOff) {
  Start();
  Decide(0, std::nullopt);
  first_.Begin("text/event-stream");
  const std::string chunk = absl::StrCat(R"(data: {"choices":[{"index":0,"delta":{"content":")",
                                         std::string(800, 'a'), "\"}}]}\n\n");
  first_.sink->OnBody(chunk);
  EXPECT_EQ(first_.open, 0);
  EXPECT_THAT(sink_.said, ::testing::EndsWith("provider_failed"));
  EXPECT_EQ(budget_.settled["p-1"], 2 * 100);
}

TEST_F(ProviderRunTest, AnAnswerThatTakesTooLongIsNotWaitedFor) {
  Start();
  clock_.Advance(ProviderFlow::kMoneyWait);
  run_->Tick();
  ASSERT_EQ(budget_.asks.size(), 2u);
  Decide(0, std::nullopt);  // too late: it is given back, and not sent twice
  EXPECT_EQ(budget_.settled, (std::map<std::string, int64_t>{{"p-1", 0}}));
  EXPECT_THAT(first_.bodies, IsEmpty());
  EXPECT_THAT(second_.bodies, IsEmpty());
  Decide(1, std::nullopt);
  EXPECT_EQ(second_.bodies.size(), 1u);
}

TEST_F(ProviderRunTest, WhatIsGrantedAfterNobodyWasLeftIsGivenBack) {
  Start();
  Decide(0, kNoMoney);
  clock_.Advance(ProviderFlow::kMoneyWait);
  run_->Tick();
  EXPECT_EQ(sink_.said, "budget_unavailable");
  Decide(1, std::nullopt);
  EXPECT_EQ(budget_.settled, (std::map<std::string, int64_t>{{"p-2", 0}}));
  EXPECT_THAT(second_.bodies, IsEmpty());
}

TEST_F(ProviderRunTest, WhatItCostIsInTheBooksAlsoWhereSomebodyElseAnswers) {
  sink_.goes_elsewhere = true;
  Start();
  Decide(0, std::nullopt);
  first_.sink->OnBroken(absl::DataLossError("it broke off"));
  Decide(1, kNoMoney);
  Decide(2, kNoMoney);  // once more to the first
  EXPECT_THAT(books_.costs, ElementsAre(absl::StrCat(budget_.settled["p-1"], "CNY a")));
  Start();
  Decide(3, kNoMoney);
  Decide(4, kNoMoney);
  EXPECT_EQ(books_.costs.size(), 1u);
}

}  // namespace
}  // namespace spillway
