#include "router/token_quota.h"

#include <algorithm>

namespace spillway {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr absl::Duration kNever = absl::InfiniteDuration();

// Of the limits on tokens, the lowest; 0: there is none.
int64_t LowestTokenLimit(const TokenLimits& limits) {
  if (limits.tokens_per_minute == 0) return limits.tokens_per_day;
  if (limits.tokens_per_day == 0) return limits.tokens_per_minute;
  return std::min(limits.tokens_per_minute, limits.tokens_per_day);
}

int64_t TokensToReserve(const TokenLimits& limits, const TokenDemand& demand) {
  const int64_t lowest = LowestTokenLimit(limits);
  if (lowest == 0) return demand.prompt_tokens + demand.completion_tokens;
  const int64_t room = std::max<int64_t>(0, lowest - demand.prompt_tokens);
  return demand.prompt_tokens + std::min(demand.completion_tokens, room);
}

}  // namespace

int64_t DayOf(absl::Time wall) {
  const absl::Duration since = wall - absl::UnixEpoch();
  return absl::ToInt64Seconds(absl::Floor(since, kDay)) / absl::ToInt64Seconds(kDay);
}

absl::Duration LeftOfDay(absl::Time wall) {
  return absl::UnixEpoch() + (DayOf(wall) + 1) * kDay - wall;
}

std::variant<QuotaShare, QuotaRefusal> TokenQuota::Reserve(const TokenLimits& limits,
                                                           const TokenDemand& demand,
                                                           absl::Time now, absl::Time wall) {
  EnterDay(wall);
  const int64_t tokens = TokensToReserve(limits, demand);
  if (const std::optional<QuotaRefusal> refusal = WhyNot(limits, tokens, now, wall)) {
    return *refusal;
  }
  minute_requests_.Add(now, 1);
  minute_tokens_.Add(now, tokens);
  ++day_.requests;
  day_.tokens += tokens;
  ++in_flight_;
  return QuotaShare{.tokens = tokens, .second = SlidingMinute::SecondOf(now), .day = day_.index};
}

std::optional<QuotaRefusal> TokenQuota::WhyNot(const TokenLimits& limits, int64_t tokens,
                                               absl::Time now, absl::Time wall) {
  std::optional<QuotaRefusal> longest;
  const auto refuse = [&longest](const QuotaRefusal& refusal) {
    if (!longest || longest->free_in < refusal.free_in) longest = refusal;
  };
  const auto minute = [&](std::string_view what, SlidingMinute& window, int64_t limit,
                          int64_t asked) {
    if (limit == 0) return;
    const int64_t used = window.Total(now);
    if (used + asked <= limit) return;
    refuse({.what = what,
            .limit = limit,
            .used = used,
            .asked = asked,
            .free_in = asked > limit ? kNever : window.UntilAtMost(limit - asked, now)});
  };
  const auto day = [&](std::string_view what, int64_t used, int64_t limit, int64_t asked) {
    if (limit == 0 || used + asked <= limit) return;
    refuse({.what = what,
            .limit = limit,
            .used = used,
            .asked = asked,
            .daily = true,
            .free_in = asked > limit ? kNever : LeftOfDay(wall)});
  };
  if (limits.concurrency > 0 && in_flight_ >= limits.concurrency) {
    longest = {.what = "requests at once", .limit = limits.concurrency, .used = in_flight_};
  }
  minute("requests per minute", minute_requests_, limits.requests_per_minute, 1);
  minute("tokens per minute", minute_tokens_, limits.tokens_per_minute, tokens);
  day("requests per day", day_.requests, limits.requests_per_day, 1);
  day("tokens per day", day_.tokens, limits.tokens_per_day, tokens);
  return longest;
}

void TokenQuota::Settle(const QuotaShare& share, int64_t tokens, absl::Time now, absl::Time wall) {
  EnterDay(wall);
  const int64_t more = tokens - share.tokens;
  minute_tokens_.Correct(share.second, more, now);
  if (share.day == day_.index) day_.tokens += more;
  --in_flight_;
}

void TokenQuota::AddPast(int64_t requests, int64_t tokens, absl::Time wall) {
  EnterDay(wall);
  day_.requests += requests;
  day_.tokens += tokens;
}

QuotaView TokenQuota::View(const TokenLimits& limits, absl::Time now, absl::Time wall) {
  EnterDay(wall);
  const auto minute = [now](SlidingMinute& window, int64_t limit) {
    return QuotaWindow{.limit = limit,
                       .remaining = std::max<int64_t>(0, limit - window.Total(now)),
                       .reset = window.UntilAtMost(0, now)};
  };
  const auto day = [wall](int64_t used, int64_t limit) {
    return QuotaWindow{.limit = limit,
                       .remaining = std::max<int64_t>(0, limit - used),
                       .reset = used > 0 ? LeftOfDay(wall) : absl::ZeroDuration()};
  };
  QuotaView view;
  if (limits.requests_per_minute > 0) {
    view.requests = minute(minute_requests_, limits.requests_per_minute);
  } else if (limits.requests_per_day > 0) {
    view.requests = day(day_.requests, limits.requests_per_day);
  }
  if (limits.tokens_per_minute > 0) {
    view.tokens = minute(minute_tokens_, limits.tokens_per_minute);
  } else if (limits.tokens_per_day > 0) {
    view.tokens = day(day_.tokens, limits.tokens_per_day);
  }
  return view;
}

// A calendar that jumps, either way, begins a new day.
void TokenQuota::EnterDay(absl::Time wall) {
  const int64_t index = DayOf(wall);
  if (index != day_.index) day_ = {.index = index};
}

}  // namespace spillway
