#include "router/provider_set.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "router/service.h"

namespace spillway {
namespace {

// Names may be a stranger's where any goes: beyond so many all others share one count.
constexpr size_t kRatesMax = 1024;

// Of what is told of models, by the names that clients use.
template <typename Told>
auto FindModel(const std::map<std::string, Told>& models, std::string_view model) {
  const auto exact = models.find(std::string(model));
  if (exact != models.end()) return exact;
  const std::string alias = ServiceAlias(model);
  return std::find_if(models.begin(), models.end(),
                      [&](const auto& each) { return ServiceAlias(each.first) == alias; });
}

bool HasLimits(const ProviderConfig& config) {
  return config.rate.requests_per_minute > 0 || config.rate.tokens_per_minute > 0;
}

}  // namespace

ProviderSet::ProviderSet(std::vector<ProviderConfig> configs, const CircuitLimits& circuits,
                         const RetryLimits& retries)
    : configs_(std::move(configs)), circuits_(circuits), retries_(retries) {
  for (const ProviderConfig& config : configs_) CHECK(config.row != nullptr);
}

std::optional<std::string> ProviderSet::MappedName(size_t provider, std::string_view model) const {
  const auto& models = configs_[provider].models;
  const auto found = FindModel(models, model);
  if (found == models.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string> ProviderSet::NameFor(size_t provider, std::string_view model) const {
  if (auto mapped = MappedName(provider, model)) return mapped;
  if (!configs_[provider].any_model || model.empty()) return std::nullopt;
  return std::string(model);
}

const ModelPrice* ProviderSet::PriceOf(size_t provider, std::string_view model) const {
  const auto& prices = configs_[provider].prices;
  const auto found = FindModel(prices, model);
  return found == prices.end() ? nullptr : &found->second;
}

bool ProviderSet::IsPriced(std::string_view model) const {
  for (size_t i = 0; i < configs_.size(); ++i) {
    if (MappedName(i, model) && PriceOf(i, model) != nullptr) return true;
  }
  return false;
}

std::string_view ProviderSet::LabelFor(std::string_view model) const {
  for (const ProviderConfig& config : configs_) {
    const auto found = FindModel(config.models, model);
    if (found != config.models.end()) return found->first;
  }
  return kAnyModel;
}

bool ProviderSet::MightTake(std::string_view model, absl::Time now) const {
  MutexLock lock(mutex_);
  const std::vector<OpenCircuit> open = circuits_.Open(now);
  for (size_t i = 0; i < configs_.size(); ++i) {
    const auto theirs = MappedName(i, model);
    if (!theirs) continue;
    const bool closed_to_it = std::any_of(open.begin(), open.end(), [&](const OpenCircuit& each) {
      return each.of.provider == configs_[i].name && !each.half_open &&
             (each.of.model.empty() || each.of.model == *theirs);
    });
    if (!closed_to_it) return true;
  }
  return false;
}

ProviderRate& ProviderSet::RateOf(size_t provider, const std::string& their_model) {
  const auto found = rates_.find({provider, their_model});
  if (found != rates_.end()) return found->second;
  const std::string name = rates_.size() < kRatesMax ? their_model : "";
  return rates_.try_emplace({provider, name}, configs_[provider].rate).first->second;
}

ProviderPermit ProviderSet::Ask(size_t provider, const std::string& their_model, int64_t tokens,
                                absl::Time now) {
  const ProviderConfig& config = configs_[provider];
  ProviderPermit permit;
  permit.key = {.provider = config.name, .key_name = config.key_name, .model = their_model};
  MutexLock lock(mutex_);
  permit.circuit = circuits_.Ask(permit.key, now);
  if (!permit.circuit.allowed) {
    permit.retry_at = permit.circuit.retry_at;
    return permit;
  }
  if (HasLimits(config)) {
    const RateDecision rate = RateOf(provider, their_model).Take(tokens, now);
    if (!rate.allowed) {
      circuits_.OnAbandoned(permit.key, permit.circuit);
      permit.throttled = true;
      permit.retry_at = rate.retry_at;
      return permit;
    }
    permit.ticket = rate.ticket;
  }
  permit.allowed = true;
  return permit;
}

void ProviderSet::OnSuccess(size_t provider, const ProviderPermit& permit, int64_t tokens,
                            absl::Time now) {
  MutexLock lock(mutex_);
  circuits_.OnSuccess(permit.key, permit.circuit);
  if (HasLimits(configs_[provider])) {
    RateOf(provider, permit.key.model).Settle(permit.ticket, tokens, now);
  }
}

void ProviderSet::OnError(const ProviderPermit& permit, const ErrorVerdict& verdict,
                          absl::Duration retry_after, absl::Time now) {
  MutexLock lock(mutex_);
  circuits_.OnError(permit.key, permit.circuit, verdict, retry_after, now);
}

void ProviderSet::OnAbandoned(const ProviderPermit& permit) {
  MutexLock lock(mutex_);
  circuits_.OnAbandoned(permit.key, permit.circuit);
}

void ProviderSet::OnNotSent(size_t provider, const ProviderPermit& permit, absl::Time now) {
  MutexLock lock(mutex_);
  circuits_.OnAbandoned(permit.key, permit.circuit);
  if (HasLimits(configs_[provider])) {
    RateOf(provider, permit.key.model).GiveBack(permit.ticket, now);
  }
}

void ProviderSet::OnRequest() {
  MutexLock lock(mutex_);
  retries_.OnRequest();
}

bool ProviderSet::TryRetry() {
  MutexLock lock(mutex_);
  return retries_.TryRetry();
}

std::vector<OpenCircuit> ProviderSet::OpenCircuits(absl::Time now) const {
  MutexLock lock(mutex_);
  return circuits_.Open(now);
}

}  // namespace spillway
