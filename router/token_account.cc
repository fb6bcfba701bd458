#include "router/token_account.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "router/service.h"

namespace spillway {
namespace {

// Of one choice. A client that asks for more is not held to have it before it does.
constexpr int64_t kCompletionReservedMax = 4096;
constexpr int64_t kCompletionUnsaid = 512;
// What another request's end is awaited for: nobody knows when it comes.
constexpr absl::Duration kUntilSomeEnd = absl::Seconds(1);

bool IsIn(std::string_view model, const std::vector<std::string>& models) {
  const std::string alias = ServiceAlias(model);
  return std::ranges::any_of(
      models, [&](const std::string& allowed) { return ServiceAlias(allowed) == alias; });
}

// Whole milliseconds, rounded up: whoever waits that long has waited enough.
absl::Duration CeilMilliseconds(absl::Duration duration) {
  return absl::Ceil(duration, absl::Milliseconds(1));
}

GenerateError ToError(const QuotaRefusal& refusal, const std::string& name) {
  const bool at_once = !refusal.free_in.has_value();
  const bool never = refusal.free_in == absl::InfiniteDuration();
  std::string message =
      absl::StrCat("token \"", name, "\" may have ", refusal.limit, " ", std::string(refusal.what),
                   at_once ? absl::StrCat(", and has ", refusal.used)
                           : absl::StrCat(": used ", refusal.used, ", this needs ", refusal.asked));
  if (at_once) {
    message += "; try again when one of them has ended";
  } else if (never) {
    message += "; it can never be let through: make the prompt shorter";
  } else {
    absl::StrAppend(&message, "; try again in ", FormatReset(*refusal.free_in));
  }
  GenerateError error = {.status = absl::ResourceExhaustedError(message),
                         .reason = never           ? "request_over_limit"
                                   : refusal.daily ? "quota_exceeded"
                                                   : "rate_limited"};
  if (at_once) error.retry_after = kUntilSomeEnd;
  if (!at_once && !never) error.retry_after = *refusal.free_in;
  return error;
}

}  // namespace

QuotaReservation& QuotaReservation::operator=(QuotaReservation&& other) noexcept {
  if (this == &other) return *this;
  Settle(0);
  account_ = std::move(other.account_);
  share_ = other.share_;
  return *this;
}

void QuotaReservation::Settle(int64_t tokens) {
  if (const std::shared_ptr<TokenAccount> account = std::move(account_)) {
    account->Settle(share_, tokens);
  }
}

void TokenAccount::SetLimits(TokenLimits limits) {
  MutexLock lock(mutex_);
  limits_ = std::move(limits);
}

void TokenAccount::AddPast(int64_t requests, int64_t tokens) {
  const absl::Time wall = clock_.WallNow();
  MutexLock lock(mutex_);
  quota_.AddPast(requests, tokens, wall);
}

std::optional<GenerateError> TokenAccount::ResolveModel(std::string& model) const {
  MutexLock lock(mutex_);
  if (const auto alias = limits_.aliases.find(model); alias != limits_.aliases.end()) {
    model = alias->second;
    return std::nullopt;
  }
  if (limits_.models.empty()) return std::nullopt;
  if (model.empty()) {
    model = limits_.models.front();
    return std::nullopt;
  }
  if (IsIn(model, limits_.models)) return std::nullopt;
  std::vector<std::string> names = limits_.models;
  for (const auto& [alias, unused] : limits_.aliases) names.push_back(alias);
  return GenerateError{.status = absl::PermissionDeniedError(absl::StrCat(
                           "token \"", name_,
                           "\" may not use this model; it may use: ", absl::StrJoin(names, ", "))),
                       .reason = "model_not_allowed",
                       .field = "model"};
}

std::optional<GenerateError> TokenAccount::Reserve(const TokenDemand& demand,
                                                   QuotaReservation& reservation) {
  const absl::Time now = clock_.Now();
  const absl::Time wall = clock_.WallNow();
  std::variant<QuotaShare, QuotaRefusal> answer;
  {
    MutexLock lock(mutex_);
    answer = quota_.Reserve(limits_, demand, now, wall);
  }
  if (const auto* refusal = std::get_if<QuotaRefusal>(&answer)) return ToError(*refusal, name_);
  reservation = QuotaReservation(shared_from_this(), std::get<QuotaShare>(answer));
  return std::nullopt;
}

void TokenAccount::Settle(const QuotaShare& share, int64_t tokens) {
  const absl::Time now = clock_.Now();
  const absl::Time wall = clock_.WallNow();
  MutexLock lock(mutex_);
  quota_.Settle(share, tokens, now, wall);
}

std::vector<ModelInfo> TokenAccount::Visible(std::vector<ModelInfo> models) const {
  MutexLock lock(mutex_);
  std::vector<ModelInfo> visible;
  for (const ModelInfo& model : models) {
    if (limits_.models.empty() || IsIn(model.name, limits_.models)) visible.push_back(model);
  }
  for (const auto& [alias, meant] : limits_.aliases) {
    const auto model = std::ranges::find_if(models, [&meant = meant](const ModelInfo& candidate) {
      return ServiceAlias(candidate.name) == ServiceAlias(meant);
    });
    if (model == models.end()) continue;
    visible.push_back(*model);
    visible.back().name = alias;
  }
  return visible;
}

std::vector<MoneyLimit> TokenAccount::Budgets() const {
  MutexLock lock(mutex_);
  std::vector<MoneyLimit> budgets;
  const auto add = [&](MoneyLimit::Period period, int64_t nano) {
    if (nano == 0) return;
    budgets.push_back({.scope = MoneyLimit::Scope::kToken,
                       .name = id_,
                       .period = period,
                       .currency = limits_.budget_currency,
                       .limit_nano = nano});
  };
  add(MoneyLimit::Period::kDay, limits_.budget_day_nano);
  add(MoneyLimit::Period::kMonth, limits_.budget_month_nano);
  return budgets;
}

bool TokenAccount::has_rates() const {
  MutexLock lock(mutex_);
  return limits_.has_rates();
}

QuotaView TokenAccount::View() {
  const absl::Time now = clock_.Now();
  const absl::Time wall = clock_.WallNow();
  MutexLock lock(mutex_);
  return quota_.View(limits_, now, wall);
}

std::string_view TokenIdOf(const std::shared_ptr<TokenAccount>& account) {
  return account == nullptr ? std::string_view() : std::string_view(account->id());
}

TokenDemand DemandOf(const GenerateRequest& request, int64_t prompt_tokens) {
  TokenDemand demand = {.prompt_tokens = prompt_tokens};
  if (request.prompt_only) return demand;
  const int64_t each = request.new_tokens_max > 0
                           ? std::min<int64_t>(request.new_tokens_max, kCompletionReservedMax)
                           : kCompletionUnsaid;
  demand.completion_tokens = each * std::max(request.choices, 1);
  return demand;
}

std::optional<GenerateError> AdmitToken(TokenAccount* account, std::string& model,
                                        const TokenDemand& demand, QuotaReservation& reservation) {
  if (account == nullptr) return std::nullopt;
  if (std::optional<GenerateError> refusal = account->ResolveModel(model)) return refusal;
  return account->Reserve(demand, reservation);
}

std::string FormatReset(absl::Duration duration) {
  const absl::Duration whole = CeilMilliseconds(duration);
  if (whole == absl::ZeroDuration()) return "0s";
  std::string text = absl::FormatDuration(whole);
  // Abseil leaves zeros out, Go and OpenAI don't.
  if (text.ends_with('h')) text += "0m";
  if (text.ends_with('m')) text += "0s";
  return text;
}

}  // namespace spillway
