#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "router/budget.h"
#include "router/model_price.h"
#include "router/provider_charge.h"
#include "router/provider_set.h"
#include "router/providers/priced_parts.h"
#include "router/providers/provider_call.h"
#include "router/providers/request_rewrite.h"
#include "router/router.h"

namespace spillway {

// What a client asks of any of the providers.
struct ProviderRequest {
  ProviderRequestKind kind = ProviderRequestKind::kChat;
  std::string body;          // in OpenAI's dialect
  std::string model;         // that the client means
  std::string client_model;  // as the client calls it; the answer says that, too
  // It may cost no more than somebody allows: it only goes where its price has a bound.
  bool under_budget = false;
};

// ---- what a flow wants done, in order ----

// What a budget has to grant before a request may leave.
struct MoneyBound {
  int64_t nano = 0;
  std::string_view currency;  // lives as long as the providers
};
// Send it; whatever was under way before is of no more use.
struct SendToProvider {
  size_t provider = 0;
  std::string_view path;  // follows the provider's URL
  RewrittenRequest request;
  // Of a request that is under a budget: ask for that, then call OnMoneyGranted() and send it, or
  // OnMoneyRefused().
  std::optional<MoneyBound> bound = {};
};
// AttemptEnded::outcome of what was stopped since it had cost all that was reserved for it.
constexpr std::string_view kOverReservation = "over_reservation";
// What was sent has ended, well or not: for metrics, and to be charged for.
struct AttemptEnded {
  size_t provider = 0;
  std::string_view outcome;  // "finished", "cancelled", or why not: a fixed word
  bool alert = false;        // somebody has to do something
  std::optional<AnswerUsage> usage;
  int64_t text_bytes = 0;
  absl::Duration took;
  std::optional<absl::Duration> to_first;  // piece of the answer
  // As router/provider_charge.h has it; nothing where no price is known. What was reserved for it
  // is settled by this.
  std::optional<int64_t> cost_nano = {};
  std::string_view currency = {};
};
struct ProviderFailure {
  GenerateError error;
  // The same would come of it anywhere: the client's own mistake, or a content filter.
  bool of_request = false;
};
using ProviderFlowAction = std::variant<SendToProvider, AttemptEnded, CallBegan, CallChunk,
                                        CallAnswer, CallFinished, ProviderFailure>;
using ProviderActions = std::vector<ProviderFlowAction>;

// One client's request on its way through the providers, in their order.
//
//   - One whose circuit is open, or whose limits it would exceed, is passed over.
//   - What fails before a piece of an answer has come, and may be sent again (provider_call.h),
//   goes
//     to the next that it was not sent to; then once more to one that merely failed; as long as the
//     retry budget has something left, attempts_max times in all.
//   - Under a budget one whose price isn't known is passed over, as is one whose price no budget
//   grants;
//     what costs something that has no bound goes nowhere. An answer whose cost reaches what was
//     reserved for it is stopped, as a broken one.
//   - Once a piece has come it stays where it is: half an answer ends with ProviderFailure.
//
// The last action is CallFinished or ProviderFailure. A pure machine but for `providers`, whose
// permits it takes and gives back. Not thread-safe.
class ProviderFlow {
 public:
  static constexpr int kAttemptsMax = 3;
  // Under a budget, where the request doesn't say how long an answer, or its thinking, may be.
  static constexpr int64_t kAnswerTokens = 4096;
  static constexpr int64_t kThinkingTokens = 4096;
  static constexpr absl::Duration kMoneyWait = absl::Seconds(10);  // then it counts as refused

  // `providers` must outlive it.
  ProviderFlow(ProviderSet& providers, ProviderRequest request, const CallLimits& limits);
  ~ProviderFlow();
  ProviderFlow(const ProviderFlow&) = delete;
  ProviderFlow& operator=(const ProviderFlow&) = delete;

  // Once, first.
  void Start(absl::Time now, ProviderActions& actions);

  // What became of the money that the last SendToProvider asked for. Nothing happens where it isn't
  // waited for any more: see awaits_money().
  void OnMoneyGranted(absl::Time now);
  void OnMoneyRefused(const MoneyRefusal& refusal, absl::Time now, ProviderActions& actions);

  // What HTTP says of the attempt under way, as ProviderCall has it. Requires one.
  void OnHead(int http_status, std::string_view content_type, std::string_view retry_after,
              absl::Time now, absl::Time wall_now);
  void OnBytes(std::string_view bytes, absl::Time now, ProviderActions& actions);
  void OnEnd(absl::Time now, ProviderActions& actions);
  // `never_sent`: not a byte of the request has left.
  void OnBroken(bool never_sent, absl::Time now, ProviderActions& actions);
  // Its time. `held_up`: by us, so that its silence means nothing.
  void OnTick(absl::Time now, bool held_up, ProviderActions& actions);
  // The client has gone: at most an AttemptEnded comes of it.
  void Cancel(absl::Time now, ProviderActions& actions);

  bool ended() const { return ended_; }
  // To which it was sent last. Requires that it was sent.
  size_t provider() const { return provider_; }
  bool was_sent() const { return attempts_ > (awaits_money_ ? 1 : 0); }
  bool awaits_money() const { return awaits_money_; }

 private:
  struct Tries {
    int count = 0;
    bool may_follow = false;  // it failed without a reason to stay away
    bool no_money = false;    // nobody pays for it there
  };

  void SendNext(absl::Time now, ProviderActions& actions);
  // False: it can't go there now.
  bool SendTo(size_t provider, const std::string& their_model, absl::Time now,
              ProviderActions& actions);
  // Why no budget can be asked about it; nothing: one can.
  std::optional<absl::Status> Unpayable(const ModelPrice* price, const std::string& name) const;
  RewriteOptions OptionsFor(const std::string& their_model) const;
  void StopIfOverspent(absl::Time now, ProviderActions& actions);
  void Unsend(absl::Time now);
  void Take(CallEvents events, absl::Time now, ProviderActions& actions);
  void OnFailed(const CallFailed& failed, absl::Time now, ProviderActions& actions);
  void EndAttempt(std::string_view outcome, bool alert, AttemptEnd end,
                  const std::optional<AnswerUsage>& usage, int64_t text_bytes, absl::Time now,
                  ProviderActions& actions);
  void Fail(ProviderFailure failure, ProviderActions& actions);
  ProviderFailure WhyNowhere(absl::Time now) const;

  ProviderSet& providers_;
  const ProviderRequest request_;
  const CallLimits limits_;
  std::vector<Tries> tries_;  // by provider
  int attempts_ = 0;
  size_t provider_ = 0;
  std::optional<ProviderCall> call_;
  ProviderPermit permit_;
  bool permit_held_ = false;
  absl::Time sent_at_;
  std::optional<absl::Time> first_at_;
  PricedParts parts_;                  // of a request under a budget
  const ModelPrice* price_ = nullptr;  // of the attempt under way; null: not known
  PriceDemand demand_;                 // likewise
  bool awaits_money_ = false;
  bool never_sent_ = false;
  size_t sent_before_ = 0;                  // to which it was sent before `provider_`
  std::optional<ProviderFailure> failure_;  // of the last attempt
  std::optional<MoneyRefusal> refusal_;     // the last
  std::optional<absl::Status> unpayable_;   // why no budget could be asked, the last
  bool any_has_model_ = false;
  bool throttled_ = false;
  absl::Time retry_at_ = absl::InfiniteFuture();
  bool ended_ = false;
};

// What a client is told of a provider's failure. What the provider says of its own account, money
// and keys stays here.
ProviderFailure FailureOf(const std::string& provider, const CallFailed& failed);

}  // namespace spillway
