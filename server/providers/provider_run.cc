#include "server/providers/provider_run.h"

#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"
#include "router/error_table.h"

namespace spillway {
namespace {

constexpr int64_t kBytesPerToken = 4;  // where nobody counted them

ProviderRequest UnderBudgetsOf(const ProviderClient& client, ProviderRequest request) {
  request.under_budget = !client.budgets.empty();
  return request;
}

}  // namespace

// Known to the budget's answer, which may come after the run has gone. Of the gateway's thread.
struct ProviderRun::Asking {
  ProviderRun* run = nullptr;  // null: nobody waits for it any more
};

ProviderRun::ProviderRun(ProviderGateway& gateway, ProviderRequest request, ProviderClient client,
                         ProviderSink& sink)
    : gateway_(gateway),
      client_(std::move(client)),
      model_(request.model),
      sink_(sink),
      flow_(gateway.providers(), UnderBudgetsOf(client_, std::move(request)), gateway.limits()),
      asked_(gateway.clock().Now()) {}

ProviderRun::~ProviderRun() {
  ForgetAsking();
  if (flow_.ended()) return;
  ProviderActions actions;
  flow_.Cancel(gateway_.clock().Now(), actions);
  CarryOut(std::move(actions));
  Report("cancelled", FindErrorRow(absl::StatusCode::kCancelled, "").http_status);
}

void ProviderRun::Start() {
  ProviderActions actions;
  flow_.Start(gateway_.clock().Now(), actions);
  CarryOut(std::move(actions));
}

void ProviderRun::Tick() {
  ProviderActions actions;
  flow_.OnTick(gateway_.clock().Now(), paused_, actions);
  if (!flow_.awaits_money() || !actions.empty()) ForgetAsking();
  CarryOut(std::move(actions));
}

void ProviderRun::Pause() {
  if (exchange_ == nullptr || flow_.ended() || std::exchange(paused_, true)) return;
  exchange_->Pause();
}

void ProviderRun::Resume() {
  if (!std::exchange(paused_, false)) return;
  ProviderActions none;
  flow_.OnTick(gateway_.clock().Now(), /*held_up=*/true, none);
  if (exchange_ != nullptr) exchange_->Resume();
}

void ProviderRun::OnHead(const ResponseReader& head) {
  flow_.OnHead(head.status(), head.Header("Content-Type").value_or(""),
               head.Header("Retry-After").value_or(""), gateway_.clock().Now(),
               gateway_.clock().WallNow());
}

void ProviderRun::OnBody(std::string_view bytes) {
  ProviderActions actions;
  flow_.OnBytes(bytes, gateway_.clock().Now(), actions);
  CarryOut(std::move(actions));
}

void ProviderRun::OnEnd() {
  ProviderActions actions;
  flow_.OnEnd(gateway_.clock().Now(), actions);
  CarryOut(std::move(actions));
}

void ProviderRun::OnBroken(const absl::Status& why) {
  LogDebug(absl::StrCat(gateway_.providers().config(flow_.provider()).name, ": ", why.message()));
  ProviderActions actions;
  // What had no connection has sent nothing.
  const bool never_sent = absl::IsUnavailable(why) || absl::IsResourceExhausted(why);
  flow_.OnBroken(never_sent, gateway_.clock().Now(), actions);
  CarryOut(std::move(actions));
}

void ProviderRun::CarryOut(ProviderActions actions) {
  bool told = false;
  for (ProviderFlowAction& action : actions) {
    const std::string& provider =
        flow_.was_sent() ? gateway_.providers().config(flow_.provider()).name : "";
    if (auto* send = std::get_if<SendToProvider>(&action)) {
      Send(std::move(*send));
    } else if (const auto* ended = std::get_if<AttemptEnded>(&action)) {
      last_ = *ended;
      Settle(*ended);
      gateway_.metrics().OnAttempt(*ended);
      if (ended->outcome == kOverReservation) {
        LogWarning(absl::StrCat("provider ", provider,
                                " went on beyond max_tokens; its answer was stopped where it had "
                                "cost all that was reserved for it"));
      } else if (ended->alert) {
        LogWarning(absl::StrCat("provider ", provider, " serves us no longer (",
                                std::string(ended->outcome),
                                "): look at its account, its key and "
                                "the names of its models"));
      }
    } else if (std::holds_alternative<CallBegan>(action)) {
      sink_.OnBegan(provider);
    } else if (const auto* chunk = std::get_if<CallChunk>(&action)) {
      sink_.OnChunk(chunk->json);
      told = true;
    } else if (auto* answer = std::get_if<CallAnswer>(&action)) {
      sink_.OnAnswer(provider, std::move(answer->json));
    } else if (const auto* finished = std::get_if<CallFinished>(&action)) {
      // What is left is HTTP's end of the body, if anything.
      if (exchange_ != nullptr) exchange_->LetGo();
      Report("finished", 200);
      return sink_.OnFinished(*finished);
    } else {
      return OnFailure(std::get<ProviderFailure>(action));
    }
  }
  if (told) sink_.OnBatchEnd();
}

void ProviderRun::Send(SendToProvider send) {
  // What is left of an attempt before must not be taken for a piece of this one.
  exchange_.reset();
  unsent_ = std::move(send);
  if (unsent_.bound) return AskForMoney();
  Begin();
}

void ProviderRun::Begin() {
  exchange_ = gateway_.pool(unsent_.provider).Begin(unsent_.path, unsent_.request.body, *this);
  unsent_ = {};
}

void ProviderRun::AskForMoney() {
  CHECK(gateway_.money().budget != nullptr);
  const ProviderConfig& provider = gateway_.providers().config(unsent_.provider);
  MoneyAsk ask = {.id = gateway_.NewReservationId(),
                  .token_id = client_.token_id,
                  .service = model_,
                  .provider = provider.name,
                  .currency = std::string(unsent_.bound->currency),
                  .amount_nano = unsent_.bound->nano,
                  .limits = client_.budgets};
  ForgetAsking();
  asking_ = std::make_shared<Asking>(Asking{this});
  Budget& budget = *gateway_.money().budget;
  auto done = [&budget, post = gateway_.money().post, asking = asking_,
               id = ask.id](std::optional<MoneyRefusal> refusal) {
    post([&budget, asking, id, refusal = std::move(refusal)] {
      if (asking->run != nullptr) {
        asking->run->OnMoney(id, refusal);
      } else if (!refusal) {
        budget.Settle(id, 0);
      }
    });
  };
  budget.Reserve(std::move(ask), std::move(done));
}

void ProviderRun::OnMoney(const std::string& id, const std::optional<MoneyRefusal>& refusal) {
  ForgetAsking();
  if (!refusal) {
    held_ = id;
    flow_.OnMoneyGranted(gateway_.clock().Now());
    return Begin();
  }
  if (refusal->reason == MoneyRefusal::Reason::kStoreFailed) LogWarning(refusal->message);
  ProviderActions actions;
  flow_.OnMoneyRefused(*refusal, gateway_.clock().Now(), actions);
  CarryOut(std::move(actions));
}

// Whatever is granted from now on is given back.
void ProviderRun::ForgetAsking() {
  if (asking_ != nullptr) asking_->run = nullptr;
  asking_.reset();
}

void ProviderRun::Settle(const AttemptEnded& ended) {
  cost_nano_ += ended.cost_nano.value_or(0);
  if (held_.empty()) return;
  gateway_.money().budget->Settle(std::exchange(held_, ""), *ended.cost_nano);
}

void ProviderRun::OnFailure(ProviderFailure& failure) {
  // A stream that was stopped would go on to cost.
  exchange_.reset();
  const absl::StatusCode code = failure.error.status.code();
  const std::string_view reason = KnownReason(code, failure.error.reason);
  if (sink_.OnFailed(failure)) {
    const absl::StatusCode told = failure.error.status.code();
    const std::string_view told_reason = KnownReason(told, failure.error.reason);
    return Report(told_reason, FindErrorRow(told, told_reason).http_status);
  }
  // Whoever goes on tells the books of its own answer: not of what this has cost.
  if (cost_nano_ > 0) TellObserver(reason, FindErrorRow(code, reason).http_status, {});
}

// What the provider counted; where it told nothing, what was delivered of the answer.
DeliveredTokenCounts ProviderRun::Delivered() const {
  const AnswerUsage usage = last_.usage.value_or(
      AnswerUsage{.completion_tokens = (last_.text_bytes + kBytesPerToken - 1) / kBytesPerToken});
  return {.prompt_tokens = static_cast<int32_t>(usage.prompt_tokens),
          .cached_tokens = static_cast<int32_t>(usage.cached_tokens),
          .completion_tokens = static_cast<int32_t>(usage.completion_tokens)};
}

void ProviderRun::Report(std::string_view outcome, int http_status) {
  const DeliveredTokenCounts delivered = Delivered();
  client_.quota.Settle(int64_t{delivered.prompt_tokens} + delivered.completion_tokens);
  const std::string_view label = gateway_.providers().LabelFor(model_);
  const bool spilled = !client_.spill_reason.empty() && outcome == "finished";
  gateway_.metrics().OnRequest(label, spilled ? "spilled" : outcome);
  if (flow_.was_sent() && !client_.spill_reason.empty()) {
    gateway_.metrics().OnSpilled(label, gateway_.providers().config(flow_.provider()).name,
                                 client_.spill_reason);
  }
  TellObserver(outcome, http_status, delivered);
}

void ProviderRun::TellObserver(std::string_view outcome, int http_status,
                               const DeliveredTokenCounts& delivered) {
  if (gateway_.observer() == nullptr) return;
  RequestSummary summary = {.request_id = client_.request_id,
                            .token_id = client_.token_id,
                            .token = client_.token_name,
                            .service = model_,
                            .outcome = outcome,
                            .http_status = http_status,
                            .took = gateway_.clock().Now() - asked_,
                            .traceparent = client_.traceparent};
  if (flow_.was_sent()) {
    summary.replica = gateway_.providers().config(flow_.provider()).name;
    summary.provider = summary.replica;
  }
  summary.prompt_tokens = delivered.prompt_tokens;
  summary.cached_tokens = delivered.cached_tokens;
  summary.completion_tokens = delivered.completion_tokens;
  summary.billed = delivered;
  summary.cost_nano = cost_nano_;
  if (cost_nano_ > 0) summary.currency = last_.currency;
  if (last_.to_first) summary.to_text = last_.to_first;
  gateway_.observer()->OnRequestEnd(summary);
}

}  // namespace spillway
