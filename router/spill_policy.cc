#include "router/spill_policy.h"

#include <algorithm>
#include <array>

namespace spillway {
namespace {

constexpr std::array<std::string_view, 5> kExhausted = {
    "no_ready_replica", "queue_full", "kv_full", "predicted_wait_over_deadline",
    "worker_lost",  // before it accepted the request, and nobody else is there
};

}  // namespace

bool IsExhaustion(std::string_view reason) {
  return std::find(kExhausted.begin(), kExhausted.end(), reason) != kExhausted.end();
}

bool StaysPossibleHere(std::string_view reason) {
  return reason == kWaitOverSpillAfter || reason == kPreferred;
}

}  // namespace spillway
