#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "router/budget.h"
#include "router/router.h"
#include "router/token_limits.h"
#include "router/token_quota.h"

namespace spillway {

class TokenAccount;

// A request's place in its token's quota. Whatever becomes of the request it is given back: what
// isn't settled was not delivered. Keeps its account alive.
class QuotaReservation {
 public:
  QuotaReservation() = default;  // of no account
  QuotaReservation(std::shared_ptr<TokenAccount> account, QuotaShare share)
      : account_(std::move(account)), share_(share) {}
  ~QuotaReservation() { Settle(0); }
  QuotaReservation(QuotaReservation&& other) noexcept
      : account_(std::move(other.account_)), share_(other.share_) {}
  QuotaReservation& operator=(QuotaReservation&& other) noexcept;

  // `tokens` were delivered, with their prompt. Only the first call counts.
  void Settle(int64_t tokens);

 private:
  std::shared_ptr<TokenAccount> account_;
  QuotaShare share_;
};

// A token as its requests meet it: what it may use, and how much of that it has. One of each token,
// shared by all threads; the limits may change while requests are under way.
//
// Thread-safe; its lock is held for some dozen additions.
class TokenAccount : public std::enable_shared_from_this<TokenAccount> {
 public:
  // `clock` must outlive it.
  TokenAccount(std::string id, std::string name, const Clock& clock)
      : id_(std::move(id)), name_(std::move(name)), clock_(clock) {}

  const std::string& id() const { return id_; }
  const std::string& name() const { return name_; }

  void SetLimits(TokenLimits limits) EXCLUDES(mutex_);
  // What it had used today before this object was made.
  void AddPast(int64_t requests, int64_t tokens) EXCLUDES(mutex_);

  // The model that its client means by `model`, or why it may not have it:
  //   PERMISSION_DENIED  "model_not_allowed"; the message names what it may use
  // Empty stays empty where all models are allowed, and is the first of them else.
  std::optional<GenerateError> ResolveModel(std::string& model) const EXCLUDES(mutex_);

  // A place for one request:
  //   RESOURCE_EXHAUSTED  "rate_limited" (of the minute, or at once), "quota_exceeded" (of the
  //   day),
  //                       with the time after which it would get one; "request_over_limit": never
  std::optional<GenerateError> Reserve(const TokenDemand& demand, QuotaReservation& reservation)
      EXCLUDES(mutex_);
  void Settle(const QuotaShare& share, int64_t tokens) EXCLUDES(mutex_);

  // Those of `models` that it may use, and its aliases of them besides.
  std::vector<ModelInfo> Visible(std::vector<ModelInfo> models) const EXCLUDES(mutex_);

  // Of what its requests may cost, for MoneyAsk::limits.
  std::vector<MoneyLimit> Budgets() const EXCLUDES(mutex_);

  bool has_rates() const EXCLUDES(mutex_);
  QuotaView View() EXCLUDES(mutex_);

 private:
  const std::string id_;
  const std::string name_;
  const Clock& clock_;
  mutable Mutex mutex_;
  TokenLimits limits_ GUARDED_BY(mutex_);
  TokenQuota quota_ GUARDED_BY(mutex_);
};

// Empty where no token was needed.
std::string_view TokenIdOf(const std::shared_ptr<TokenAccount>& account);

// How many tokens a request counts for before its answer is known: as max_tokens says, up to a
// limit, for each choice; where it says nothing, some.
TokenDemand DemandOf(const GenerateRequest& request, int64_t prompt_tokens);

// All that a shard does before it takes a request from a token: its `model` becomes the one that is
// meant, and its place is reserved. Nothing of it where `account` is null.
std::optional<GenerateError> AdmitToken(TokenAccount* account, std::string& model,
                                        const TokenDemand& demand, QuotaReservation& reservation);

// "6m0s", "12.5s", "20ms", as OpenAI's headers have it.
std::string FormatReset(absl::Duration duration);

}  // namespace spillway
