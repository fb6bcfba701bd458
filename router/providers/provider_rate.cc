#include "router/providers/provider_rate.h"

#include <algorithm>
#include <limits>

#include "common/check.h"

namespace spillway {
namespace {

int64_t SlotIndex(absl::Time now) {
  return absl::ToInt64Milliseconds(now - absl::UnixEpoch()) /
         absl::ToInt64Milliseconds(ProviderRate::kSlot);
}

// A slot's requests may have come at its end, so it stays one slot longer.
int64_t SlotsIn(absl::Duration length) {
  return absl::Ceil(length, ProviderRate::kSlot) / ProviderRate::kSlot + 1;
}

}  // namespace

ProviderRate::ProviderRate(const ProviderRateLimits& limits) {
  const absl::Duration jitter =
      std::clamp(limits.arrival_jitter, absl::ZeroDuration(), absl::Seconds(1));
  const auto share = [](int64_t per_minute) {
    return per_minute == 0 ? 0 : std::max<int64_t>(1, per_minute / 60);
  };
  second_ = {.length = SlotsIn(absl::Seconds(1) + jitter),
             .requests_max = share(limits.requests_per_minute),
             .tokens_max = share(limits.tokens_per_minute),
             .requests_reason = "requests_per_second",
             .tokens_reason = "tokens_per_second"};
  minute_ = {.length = SlotsIn(absl::Minutes(1) + jitter),
             .requests_max = limits.requests_per_minute,
             .tokens_max = limits.tokens_per_minute,
             .requests_reason = "requests_per_minute",
             .tokens_reason = "tokens_per_minute"};
}

bool ProviderRate::Fits(const Window& window, int64_t requests, int64_t in_window, int64_t tokens) {
  if (window.requests_max > 0 && requests + 1 > window.requests_max) return false;
  return window.tokens_max == 0 || requests == 0 || in_window + tokens <= window.tokens_max;
}

RateDecision ProviderRate::Take(int64_t tokens, absl::Time now) {
  tokens = std::clamp<int64_t>(tokens, 0, std::numeric_limits<int32_t>::max());
  Advance(now);
  RateDecision decision{.allowed = true};
  int64_t fits_at = now_;
  for (const Window* window : {&minute_, &second_}) {
    if (Fits(*window, window->requests, window->tokens, tokens)) continue;
    decision.allowed = false;
    const bool of_requests =
        window->requests_max > 0 && window->requests + 1 > window->requests_max;
    const int64_t at = FitsAt(*window, tokens);
    if (at < fits_at) continue;
    fits_at = at;
    decision.reason = of_requests ? window->requests_reason : window->tokens_reason;
  }
  if (!decision.allowed) {
    decision.retry_at = absl::UnixEpoch() + fits_at * kSlot;
    return decision;
  }
  if (slots_.empty() || slots_.back().index != now_) {
    slots_.push_back({.index = now_});
    ++second_.slot_count;
    ++minute_.slot_count;
  }
  CHECK(slots_.size() <= kSlotsMax);
  decision.ticket = {.slot = now_, .tokens = tokens};
  Change(decision.ticket, 1, tokens);
  return decision;
}

void ProviderRate::Settle(const RateTicket& ticket, int64_t tokens, absl::Time now) {
  tokens = std::clamp<int64_t>(tokens, 0, std::numeric_limits<int32_t>::max());
  Advance(now);
  Change(ticket, 0, tokens - ticket.tokens);
}

void ProviderRate::GiveBack(const RateTicket& ticket, absl::Time now) {
  Advance(now);
  Change(ticket, -1, -ticket.tokens);
}

void ProviderRate::Advance(absl::Time now) {
  now_ = std::max(now_, SlotIndex(now));
  for (Window* window : {&second_, &minute_}) {
    while (window->slot_count > 0) {
      const Slot& oldest = slots_[slots_.size() - window->slot_count];
      if (Contains(*window, oldest.index)) break;
      window->requests -= oldest.requests;
      window->tokens -= oldest.tokens;
      --window->slot_count;
    }
  }
  while (slots_.size() > minute_.slot_count) slots_.pop_front();
}

void ProviderRate::Change(const RateTicket& ticket, int64_t requests, int64_t tokens) {
  const auto slot =
      std::lower_bound(slots_.begin(), slots_.end(), ticket.slot,
                       [](const Slot& each, int64_t index) { return each.index < index; });
  if (slot == slots_.end() || slot->index != ticket.slot) return;
  slot->requests += requests;
  slot->tokens += tokens;
  for (Window* window : {&second_, &minute_}) {
    if (!Contains(*window, ticket.slot)) continue;
    window->requests += requests;
    window->tokens += tokens;
  }
}

int64_t ProviderRate::FitsAt(const Window& window, int64_t tokens) const {
  int64_t requests = window.requests;
  int64_t in_window = window.tokens;
  for (size_t i = slots_.size() - window.slot_count; i < slots_.size(); ++i) {
    if (Fits(window, requests, in_window, tokens)) break;
    requests -= slots_[i].requests;
    in_window -= slots_[i].tokens;
    if (Fits(window, requests, in_window, tokens)) return slots_[i].index + window.length;
  }
  return now_;
}

}  // namespace spillway
