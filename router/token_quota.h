#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/time/time.h"
#include "router/sliding_minute.h"
#include "router/token_limits.h"

namespace spillway {

// What a request may come to, before it is known: as OpenAI counts, its prompt by its length and
// its answer by max_tokens.
struct TokenDemand {
  int64_t prompt_tokens = 0;
  // Of all its choices. Nobody lets a model of theirs wait because a client that always says
  // 100,000 might once mean it: TokenQuota takes no more than there is room for when nothing else
  // runs.
  int64_t completion_tokens = 0;
};

// What was taken from a quota for one request. Give it back once, with Settle().
struct QuotaShare {
  int64_t tokens = 0;
  int64_t second = 0;  // of SlidingMinute
  int64_t day = 0;
};

// Why a request may not go on, and when it may.
struct QuotaRefusal {
  std::string_view what;  // "requests per minute", a string that lives for ever
  int64_t limit = 0;
  int64_t used = 0;
  int64_t asked = 1;
  bool daily = false;
  // Until it would be let through if nothing else came. Infinite: never, it alone is over the
  // limit. Nullopt: when another request ends, nobody knows when.
  std::optional<absl::Duration> free_in;
};

// What is left, for x-ratelimit headers.
struct QuotaWindow {
  int64_t limit = 0;
  int64_t remaining = 0;
  absl::Duration reset;  // until nothing is used any more
};
struct QuotaView {
  std::optional<QuotaWindow> requests;  // of the minute if it has a limit, else of the day
  std::optional<QuotaWindow> tokens;
};

// How much one token has used, and whether it may use more. Tokens are reserved before a request
// and settled after it: what wasn't delivered isn't counted, but the request is.
//
// An answer can turn out longer than what was reserved. It is counted all the same, and the next
// request waits for that.
//
// Pure: `now` is monotonic, `wall` is the calendar's. Not thread-safe.
class TokenQuota {
 public:
  std::variant<QuotaShare, QuotaRefusal> Reserve(const TokenLimits& limits,
                                                 const TokenDemand& demand, absl::Time now,
                                                 absl::Time wall);
  // `tokens`: that were delivered, with their prompt.
  void Settle(const QuotaShare& share, int64_t tokens, absl::Time now, absl::Time wall);

  // What a day had seen before this object was made, by the word of whoever kept books.
  void AddPast(int64_t requests, int64_t tokens, absl::Time wall);

  QuotaView View(const TokenLimits& limits, absl::Time now, absl::Time wall);
  int64_t in_flight() const { return in_flight_; }

 private:
  struct Day {
    int64_t index = 0;
    int64_t requests = 0;
    int64_t tokens = 0;
  };

  std::optional<QuotaRefusal> WhyNot(const TokenLimits& limits, int64_t tokens, absl::Time now,
                                     absl::Time wall);
  void EnterDay(absl::Time wall);

  SlidingMinute minute_requests_;
  SlidingMinute minute_tokens_;
  Day day_;
  int64_t in_flight_ = 0;
};

// Days since 1970 in UTC, and how much of this one is left.
int64_t DayOf(absl::Time wall);
absl::Duration LeftOfDay(absl::Time wall);

}  // namespace spillway
