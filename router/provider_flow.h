#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "router/provider_set.h"
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
};

// ---- what a flow wants done, in order ----

// Send it; whatever was under way before is of no more use. All that it may cost is known here: the
// place to ask a budget, before the bytes leave.
struct SendToProvider {
  size_t provider = 0;
  std::string_view path;  // follows the provider's URL
  RewrittenRequest request;
};
// What was sent has ended, well or not: for metrics, and to be charged for.
struct AttemptEnded {
  size_t provider = 0;
  std::string_view outcome;  // "finished", "cancelled", or why not: a fixed word
  bool alert = false;        // somebody has to do something
  std::optional<AnswerUsage> usage;
  int64_t text_bytes = 0;
  absl::Duration took;
  std::optional<absl::Duration> to_first;  // piece of the answer
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
//   - Once a piece has come it stays where it is: half an answer ends with ProviderFailure.
//
// The last action is CallFinished or ProviderFailure. A pure machine but for `providers`, whose
// permits it takes and gives back. Not thread-safe.
class ProviderFlow {
 public:
  static constexpr int kAttemptsMax = 3;

  // `providers` must outlive it.
  ProviderFlow(ProviderSet& providers, ProviderRequest request, const CallLimits& limits);
  ~ProviderFlow();
  ProviderFlow(const ProviderFlow&) = delete;
  ProviderFlow& operator=(const ProviderFlow&) = delete;

  // Once, first.
  void Start(absl::Time now, ProviderActions& actions);

  // What HTTP says of the attempt under way, as ProviderCall has it. Requires one.
  void OnHead(int http_status, std::string_view content_type, std::string_view retry_after,
              absl::Time now, absl::Time wall_now);
  void OnBytes(std::string_view bytes, absl::Time now, ProviderActions& actions);
  void OnEnd(absl::Time now, ProviderActions& actions);
  void OnBroken(absl::Time now, ProviderActions& actions);
  // Its time. `held_up`: by us, so that its silence means nothing.
  void OnTick(absl::Time now, bool held_up, ProviderActions& actions);
  // The client has gone: at most an AttemptEnded comes of it.
  void Cancel(absl::Time now, ProviderActions& actions);

  bool ended() const { return ended_; }
  // To which it was sent last. Requires that it was sent.
  size_t provider() const { return provider_; }
  bool was_sent() const { return attempts_ > 0; }

 private:
  struct Tries {
    int count = 0;
    bool may_follow = false;  // it failed without a reason to stay away
  };

  void SendNext(absl::Time now, ProviderActions& actions);
  // False: it can't go there now.
  bool SendTo(size_t provider, const std::string& their_model, absl::Time now,
              ProviderActions& actions);
  void Take(CallEvents events, absl::Time now, ProviderActions& actions);
  void OnFailed(const CallFailed& failed, absl::Time now, ProviderActions& actions);
  void EndAttempt(std::string_view outcome, bool alert, const std::optional<AnswerUsage>& usage,
                  int64_t text_bytes, absl::Time now, ProviderActions& actions);
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
  bool any_has_model_ = false;
  bool throttled_ = false;
  absl::Time retry_at_ = absl::InfiniteFuture();
  bool ended_ = false;
};

// What a client is told of a provider's failure. What the provider says of its own account, money
// and keys stays here.
ProviderFailure FailureOf(const std::string& provider, const CallFailed& failed);

}  // namespace spillway
