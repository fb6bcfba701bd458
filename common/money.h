#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spillway {

// Money is whole numbers of 1/1,000,000,000 of a currency, so that sums are exact.
constexpr int64_t kNanoPerUnit = 1'000'000'000;

// "12", "0.8", "0.000000001": at most nine digits behind the point, none before it beyond
// 1,000,000,000. Nullopt: it is none of these; no sign, no exponent.
std::optional<int64_t> ParseMoney(std::string_view text);

// The shortest that ParseMoney reads the same, but with two digits behind the point at least.
std::string FormatMoney(int64_t nano);

}  // namespace spillway
