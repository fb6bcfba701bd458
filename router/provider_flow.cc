#include "router/provider_flow.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/json_slices.h"

namespace spillway {
namespace {

// What a token is taken to have at least, where a limit on tokens is kept.
constexpr int64_t kBytesPerToken = 3;

std::string_view PathOf(ProviderRequestKind kind) {
  switch (kind) {
    case ProviderRequestKind::kChat:
      return "/chat/completions";
    case ProviderRequestKind::kCompletion:
      return "/completions";
    case ProviderRequestKind::kEmbeddings:
      return "/embeddings";
  }
  return "";
}

int64_t TokensAtMost(const RewrittenRequest& request) {
  const auto prompt = static_cast<int64_t>(request.body.size()) / kBytesPerToken;
  return prompt + request.choices * (request.output_tokens_max.value_or(0) +
                                     request.thinking_tokens_max.value_or(0));
}

bool SaysContextIsTooSmall(const ProviderError& error) {
  return error.code == "context_length_exceeded";
}

// The most that the members `names` say, as a whole number; `otherwise` where they say none.
int64_t Said(std::string_view body, std::initializer_list<std::string_view> names,
             int64_t otherwise) {
  int64_t most = 0;
  for (const std::string_view name : names) {
    const std::optional<std::string_view> value = JsonMemberValue(body, name);
    int64_t said = 0;
    if (value && absl::SimpleAtoi(absl::string_view(value->data(), value->size()), &said)) {
      most = std::max(most, said);
    }
  }
  return most > 0 ? most : otherwise;
}

// Whether the provider's word is that it charges nothing: it refused, before any of an answer.
AttemptEnd EndOf(const CallFailed& failed) {
  if (failed.text_bytes > 0 || failed.usage) return AttemptEnd::kUnknown;
  switch (failed.verdict.action) {
    case ProviderAction::kPassOn:
    case ProviderAction::kBackOff:
    case ProviderAction::kBlockModel:
    case ProviderAction::kBlockKey:
      return AttemptEnd::kFree;
    case ProviderAction::kTryAgain:
      // What merely broke has said nothing.
      return failed.verdict.reason == "provider_broken" ? AttemptEnd::kUnknown : AttemptEnd::kFree;
    case ProviderAction::kContentFilter:  // maybe of what it had written
    case ProviderAction::kGiveUp:
      return AttemptEnd::kUnknown;
  }
  return AttemptEnd::kUnknown;
}

GenerateError ErrorOf(absl::Status status, std::string_view reason,
                      absl::Duration retry_after = absl::ZeroDuration()) {
  return {.status = std::move(status), .reason = std::string(reason), .retry_after = retry_after};
}

}  // namespace

ProviderFailure FailureOf(const std::string& provider, const CallFailed& failed) {
  const std::string said =
      failed.error.message.empty() ? "it gives no reason" : failed.error.message;
  switch (failed.verdict.action) {
    case ProviderAction::kPassOn:
      return {ErrorOf(absl::InvalidArgumentError(said), SaysContextIsTooSmall(failed.error)
                                                            ? "context_length_exceeded"
                                                            : "invalid_request"),
              /*of_request=*/true};
    case ProviderAction::kContentFilter:
      return {ErrorOf(absl::InvalidArgumentError(absl::StrCat("the content filter of ", provider,
                                                              " refused this: ", said)),
                      "content_filter"),
              /*of_request=*/true};
    case ProviderAction::kBackOff:
      return {ErrorOf(absl::ResourceExhaustedError(absl::StrCat(provider, " is busy: ", said)),
                      "provider_throttled", failed.retry_after)};
    case ProviderAction::kTryAgain:
      return {
          ErrorOf(absl::AbortedError(failed.text_bytes > 0
                                         ? absl::StrCat("the answer of ", provider, " broke off")
                                         : absl::StrCat(provider, " failed to answer")),
                  "provider_failed", failed.retry_after)};
    case ProviderAction::kGiveUp:
      return {
          ErrorOf(absl::DeadlineExceededError(absl::StrCat(provider, " took too long to answer")),
                  "provider_timeout")};
    case ProviderAction::kBlockModel:
      if (failed.verdict.reason == "model_not_found") {
        return {ErrorOf(absl::NotFoundError(absl::StrCat(provider, " has no such model")),
                        "model_not_found")};
      }
      break;
    case ProviderAction::kBlockKey:
      break;
  }
  return {ErrorOf(absl::AbortedError(absl::StrCat(provider, " doesn't serve this server now (",
                                                  std::string(failed.verdict.reason), ")")),
                  "provider_unavailable")};
}

ProviderFlow::ProviderFlow(ProviderSet& providers, ProviderRequest request,
                           const CallLimits& limits)
    : providers_(providers),
      request_(std::move(request)),
      limits_(limits),
      tries_(providers.size()) {
  if (request_.under_budget) parts_ = FindPricedParts(request_.kind, request_.body);
}

ProviderFlow::~ProviderFlow() {
  if (permit_held_) providers_.OnAbandoned(permit_);
}

void ProviderFlow::Start(absl::Time now, ProviderActions& actions) {
  CHECK(attempts_ == 0 && !ended_);
  providers_.OnRequest();
  SendNext(now, actions);
  if (!ended_ && attempts_ == 0) Fail(WhyNowhere(now), actions);
}

// Sends it to the next that is left. Where there is none nothing changes.
void ProviderFlow::SendNext(absl::Time now, ProviderActions& actions) {
  for (const int tries : {0, 1}) {
    for (size_t i = 0; i < providers_.size(); ++i) {
      if (tries_[i].no_money) continue;
      if (tries_[i].count != tries || (tries == 1 && !tries_[i].may_follow)) continue;
      const std::optional<std::string> theirs = providers_.NameFor(i, request_.model);
      if (!theirs) continue;
      any_has_model_ = true;
      if (SendTo(i, *theirs, now, actions) || ended_) return;
    }
  }
}

bool ProviderFlow::SendTo(size_t provider, const std::string& their_model, absl::Time now,
                          ProviderActions& actions) {
  const ProviderRow& row = *providers_.config(provider).row;
  const ModelPrice* price = providers_.PriceOf(provider, request_.model);
  if (request_.under_budget) {
    if (auto why = Unpayable(price, providers_.config(provider).name)) {
      unpayable_ = std::move(why);
      tries_[provider].no_money = true;
      return false;
    }
  }
  auto rewritten = RewriteRequest(row, request_.kind, request_.body, OptionsFor(their_model));
  if (rewritten.ok() && request_.under_budget && rewritten->output_tokens_max == 0) {
    rewritten = absl::InvalidArgumentError("max_tokens must be at least 1");
  }
  if (!rewritten.ok()) {
    Fail({ErrorOf(rewritten.status(), "invalid_request"), /*of_request=*/true}, actions);
    return false;
  }
  ProviderPermit permit = providers_.Ask(provider, their_model, TokensAtMost(*rewritten), now);
  if (!permit.allowed) {
    retry_at_ = std::min(retry_at_, permit.retry_at);
    throttled_ |= permit.throttled;
    return false;
  }
  ++attempts_;
  ++tries_[provider].count;
  sent_before_ = std::exchange(provider_, provider);
  price_ = price;
  never_sent_ = false;
  demand_ = {.prompt_bytes = static_cast<int64_t>(rewritten->body.size()),
             .completion_tokens_max = rewritten->output_tokens_max.value_or(0),
             .thinking_tokens_max = rewritten->thinking_tokens_max.value_or(0),
             .answers = rewritten->choices * parts_.prompts};
  awaits_money_ = request_.under_budget;
  permit_ = std::move(permit);
  permit_held_ = true;
  sent_at_ = now;
  first_at_.reset();
  call_.emplace(row,
                ProviderCall::Options{.client_model = request_.client_model,
                                      .streams = rewritten->streams,
                                      .assemble = rewritten->assemble,
                                      .show_usage = !rewritten->usage_is_ours},
                limits_, now);
  SendToProvider send = {
      .provider = provider, .path = PathOf(request_.kind), .request = *std::move(rewritten)};
  if (awaits_money_) send.bound = {PriceBound(*price, demand_), price->currency};
  actions.push_back(std::move(send));
  return true;
}

std::optional<absl::Status> ProviderFlow::Unpayable(const ModelPrice* price,
                                                    const std::string& name) const {
  if (price == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("this token has a budget of money, and nobody has said what ",
                     request_.client_model.substr(0, 100), " costs at ", name,
                     " (spillway serve --provider-price)"));
  }
  if (parts_.unbounded.empty()) return std::nullopt;
  return absl::PermissionDeniedError(
      absl::StrCat("this token has a budget of money, and what ", parts_.unbounded,
                   " costs at a provider can't be told before it is sent"));
}

RewriteOptions ProviderFlow::OptionsFor(const std::string& their_model) const {
  RewriteOptions options = {.model = their_model};
  if (!request_.under_budget) return options;
  options.output_tokens_max =
      Said(request_.body, {"max_tokens", "max_completion_tokens"}, kAnswerTokens);
  options.thinking_tokens_max = Said(request_.body, {"thinking_budget"}, kThinkingTokens);
  return options;
}

void ProviderFlow::OnMoneyGranted(absl::Time now) {
  if (ended_ || !std::exchange(awaits_money_, false)) return;
  sent_at_ = now;
  call_->OnHeldUp(now);
}

// Where one had failed before that is what the client hears of.
void ProviderFlow::OnMoneyRefused(const MoneyRefusal& refusal, absl::Time now,
                                  ProviderActions& actions) {
  if (ended_ || !awaits_money_) return;
  refusal_ = refusal;
  tries_[provider_].no_money = true;
  Unsend(now);
  const int before = attempts_;
  SendNext(now, actions);
  if (ended_ || attempts_ > before) return;
  Fail(failure_ ? *failure_ : WhyNowhere(now), actions);
}

// The attempt that money was asked for has never been.
void ProviderFlow::Unsend(absl::Time now) {
  awaits_money_ = false;
  permit_held_ = false;
  providers_.OnNotSent(provider_, permit_, now);
  call_.reset();
  --attempts_;
  provider_ = sent_before_;
}

ProviderFailure ProviderFlow::WhyNowhere(absl::Time now) const {
  if (!any_has_model_) {
    return {ErrorOf(absl::NotFoundError(absl::StrCat("no provider has a model \"",
                                                     request_.model.substr(0, 100), "\"")),
                    "model_not_found")};
  }
  if (refusal_ && refusal_->reason == MoneyRefusal::Reason::kStoreFailed) {
    return {
        ErrorOf(absl::AbortedError("what this may cost can't be reserved now, so it isn't sent"),
                "budget_unavailable")};
  }
  if (refusal_) {
    return {ErrorOf(absl::ResourceExhaustedError(refusal_->message), "budget_exceeded",
                    refusal_->free_in)};
  }
  if (unpayable_ && retry_at_ == absl::InfiniteFuture()) {
    return {ErrorOf(*unpayable_, "not_priced")};
  }
  const absl::Duration wait = std::max(absl::ZeroDuration(), retry_at_ - now);
  if (throttled_) {
    return {ErrorOf(
        absl::ResourceExhaustedError("as much as the provider lets us ask has been asked for now"),
        "provider_throttled", wait)};
  }
  return {ErrorOf(absl::AbortedError("no provider can be asked for this model now"),
                  "provider_unavailable", wait)};
}

void ProviderFlow::OnHead(int http_status, std::string_view content_type,
                          std::string_view retry_after, absl::Time now, absl::Time wall_now) {
  if (!ended_) call_->OnHead(http_status, content_type, retry_after, now, wall_now);
}

void ProviderFlow::OnBytes(std::string_view bytes, absl::Time now, ProviderActions& actions) {
  if (ended_) return;
  CallEvents events;
  call_->OnBytes(bytes, now, events);
  Take(std::move(events), now, actions);
  StopIfOverspent(now, actions);
}

void ProviderFlow::OnEnd(absl::Time now, ProviderActions& actions) {
  if (ended_) return;
  CallEvents events;
  call_->OnEnd(events);
  Take(std::move(events), now, actions);
}

void ProviderFlow::OnBroken(bool never_sent, absl::Time now, ProviderActions& actions) {
  if (ended_) return;
  never_sent_ = never_sent;
  CallEvents events;
  call_->OnBroken(events);
  Take(std::move(events), now, actions);
}

void ProviderFlow::OnTick(absl::Time now, bool held_up, ProviderActions& actions) {
  if (ended_ || !call_) return;
  if (awaits_money_) {
    if (now - sent_at_ < kMoneyWait) return;
    return OnMoneyRefused({.reason = MoneyRefusal::Reason::kStoreFailed}, now, actions);
  }
  if (held_up) return call_->OnHeldUp(now);
  CallEvents events;
  call_->OnTick(now, events);
  Take(std::move(events), now, actions);
}

void ProviderFlow::Cancel(absl::Time now, ProviderActions& actions) {
  if (std::exchange(ended_, true) || !permit_held_) return;
  if (awaits_money_) return Unsend(now);
  EndAttempt("cancelled", /*alert=*/false, AttemptEnd::kUnknown, call_->usage(),
             call_->text_bytes(), now, actions);
  providers_.OnAbandoned(permit_);
}

void ProviderFlow::Take(CallEvents events, absl::Time now, ProviderActions& actions) {
  for (CallEvent& event : events) {
    if (const auto* failed = std::get_if<CallFailed>(&event))
      return OnFailed(*failed, now, actions);
    if (!first_at_) first_at_ = now;
    if (const auto* finished = std::get_if<CallFinished>(&event)) {
      ended_ = true;
      EndAttempt("finished", /*alert=*/false, AttemptEnd::kFinished, finished->usage,
                 finished->text_bytes, now, actions);
      const AnswerUsage usage = finished->usage.value_or(AnswerUsage());
      providers_.OnSuccess(provider_, permit_, usage.prompt_tokens + usage.completion_tokens, now);
    }
    std::visit(
        [&actions](auto& what) {
          using What = std::decay_t<decltype(what)>;
          if constexpr (!std::is_same_v<What, CallFailed>) actions.push_back(std::move(what));
        },
        event);
  }
}

// Requires that the attempt under way hasn't ended.
void ProviderFlow::StopIfOverspent(absl::Time now, ProviderActions& actions) {
  if (ended_ || !request_.under_budget || !permit_held_ || awaits_money_) return;
  const int64_t cost = CostSoFar(*price_, call_->usage(), call_->text_bytes());
  if (cost == 0 || cost < PriceBound(*price_, demand_)) return;
  EndAttempt(kOverReservation, /*alert=*/true, AttemptEnd::kUnknown, call_->usage(),
             call_->text_bytes(), now, actions);
  providers_.OnAbandoned(permit_);
  call_.reset();
  Fail({ErrorOf(absl::AbortedError(
                    absl::StrCat("the answer of ", providers_.config(provider_).name,
                                 " went beyond what was asked for and paid for, and was stopped")),
                "provider_failed")},
       actions);
}

void ProviderFlow::OnFailed(const CallFailed& failed, absl::Time now, ProviderActions& actions) {
  EndAttempt(failed.verdict.reason, failed.verdict.alert,
             never_sent_ ? AttemptEnd::kFree : EndOf(failed), failed.usage, failed.text_bytes, now,
             actions);
  providers_.OnError(permit_, failed.verdict, failed.retry_after, now);
  tries_[provider_].may_follow = failed.verdict.action == ProviderAction::kTryAgain;
  call_.reset();
  failure_ = FailureOf(providers_.config(provider_).name, failed);
  if (failed.may_be_sent_again && attempts_ < kAttemptsMax && providers_.TryRetry()) {
    const int before = attempts_;
    SendNext(now, actions);
    if (ended_ || attempts_ > before) return;
  }
  Fail(*failure_, actions);
}

void ProviderFlow::EndAttempt(std::string_view outcome, bool alert, AttemptEnd end,
                              const std::optional<AnswerUsage>& usage, int64_t text_bytes,
                              absl::Time now, ProviderActions& actions) {
  permit_held_ = false;
  AttemptEnded ended = {.provider = provider_,
                        .outcome = outcome,
                        .alert = alert,
                        .usage = usage,
                        .text_bytes = text_bytes,
                        .took = now - sent_at_};
  if (first_at_) ended.to_first = *first_at_ - sent_at_;
  if (price_ != nullptr) {
    ended.cost_nano = request_.under_budget
                          ? ChargeOfBounded(*price_, demand_, end, usage, text_bytes)
                          : ChargeOfUnbounded(*price_, end, usage, text_bytes);
    ended.currency = price_->currency;
  }
  actions.push_back(ended);
}

void ProviderFlow::Fail(ProviderFailure failure, ProviderActions& actions) {
  ended_ = true;
  actions.push_back(std::move(failure));
}

}  // namespace spillway
