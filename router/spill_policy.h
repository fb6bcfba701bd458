#pragma once

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"

namespace spillway {

// Whether what is served here may go to a provider that has the model in its map.
enum class SpillMode : uint8_t {
  kNever,
  kWhenExhausted,  // when the workers here refuse it
  kPrefer,         // it goes there first
};

struct SpillPolicy {
  SpillMode mode = SpillMode::kWhenExhausted;
  // A wait for a worker, predicted or real, beyond which a request goes there, too.
  absl::Duration after = absl::InfiniteDuration();
};

// Of a wait beyond SpillPolicy::after, and of what was preferred: reasons that are no refusals.
constexpr std::string_view kWaitOverSpillAfter = "wait_over_spill_after";
constexpr std::string_view kPreferred = "preferred";

// Whether a refusal of a new request says that the workers here are exhausted: it would not have
// come with more of them. Never a limit of the client's own, nor what is wrong with the request.
bool IsExhaustion(std::string_view reason);

// Whether a request that went to a provider for `reason` can be answered here all the same.
bool StaysPossibleHere(std::string_view reason);

}  // namespace spillway
