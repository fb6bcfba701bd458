#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

#include "absl/time/time.h"

namespace spillway {

// What a provider lets one of its models do, over all keys of an account. 0: as much as one likes.
struct ProviderRateLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;  // of prompts and answers
  // Requests don't arrive as far apart as they left: the windows are longer by this.
  absl::Duration arrival_jitter = absl::Milliseconds(100);
};

// One request's place in the windows.
struct RateTicket {
  int64_t slot = -1;
  int64_t tokens = 0;
};

struct RateDecision {
  bool allowed = false;
  RateTicket ticket;                           // allowed
  absl::Time retry_at = absl::InfinitePast();  // not allowed: when as much would be
  // Not allowed: "requests_per_second", "requests_per_minute", "tokens_per_second",
  // "tokens_per_minute".
  std::string_view reason;
};

// Keeps count of what a provider counts, since no header of its tells: in no minute more than the
// limits, in no second more than a sixtieth of them (Bailian enforces both), wherever the minute or
// second begins. The share of a second is at least one request. A request of more tokens than a
// window may hold is allowed where nothing else is in that window: else it never would be.
//
// Exact but for the slots of 10 ms that requests are gathered in; they leave a window late, never
// early. At most kSlotsMax of them are kept, however many requests there are.
//
// Pure: time is an argument, and one that goes back counts as standing still. Not thread-safe.
class ProviderRate {
 public:
  static constexpr absl::Duration kSlot = absl::Milliseconds(10);
  static constexpr size_t kSlotsMax = 60 * 100 + 200;

  explicit ProviderRate(const ProviderRateLimits& limits);

  // `tokens`: as many as it may come to. Counted at once when it is allowed.
  RateDecision Take(int64_t tokens, absl::Time now);

  // It came to `tokens`. In the windows that it has left nothing changes.
  void Settle(const RateTicket& ticket, int64_t tokens, absl::Time now);

  // It was never sent.
  void GiveBack(const RateTicket& ticket, absl::Time now);

  size_t slots() const { return slots_.size(); }

 private:
  struct Slot {
    int64_t index = 0;  // time in units of kSlot
    int64_t requests = 0;
    int64_t tokens = 0;
  };
  // The last slots of slots_, as many as are within its length.
  struct Window {
    int64_t length = 0;  // in slots
    size_t slot_count = 0;
    int64_t requests = 0;
    int64_t tokens = 0;
    int64_t requests_max = 0;  // 0: any
    int64_t tokens_max = 0;
    std::string_view requests_reason;
    std::string_view tokens_reason;
  };

  void Advance(absl::Time now);
  void Change(const RateTicket& ticket, int64_t requests, int64_t tokens);
  bool Contains(const Window& window, int64_t index) const { return index > now_ - window.length; }
  // The first slot index at which `window` holds so few that one more request of `tokens` fits.
  int64_t FitsAt(const Window& window, int64_t tokens) const;
  static bool Fits(const Window& window, int64_t requests, int64_t in_window, int64_t tokens);

  std::deque<Slot> slots_;  // oldest first
  Window second_;
  Window minute_;
  int64_t now_ = 0;  // the present slot's index
};

}  // namespace spillway
