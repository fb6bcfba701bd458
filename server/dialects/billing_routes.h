#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "common/clock.h"
#include "server/http/route_table.h"

namespace spillway {

// What a token's requests cost in the days from `first_day` to `last_day` (since 1970, in UTC), in
// 1/1,000,000,000 of its currency. Must not wait for anything.
using CostOfToken =
    std::function<int64_t(std::string_view token_id, int64_t first_day, int64_t last_day)>;

// What OpenAI once had, and chatgpt-web and one-api still ask for: what a token has used, in
// hundredths of its currency, and what it may use. `clock` must outlive the table.
void AddBillingRoutes(RouteTable& routes, const Clock& clock, CostOfToken cost_of);

}  // namespace spillway
