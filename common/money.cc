#include "common/money.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace spillway {
namespace {

constexpr int64_t kUnitsMax = 1'000'000'000;
constexpr size_t kFractionDigits = 9;

}  // namespace

std::optional<int64_t> ParseMoney(std::string_view text) {
  const size_t point = text.find('.');
  const std::string_view units = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (units.empty() || fraction.size() > kFractionDigits) return std::nullopt;
  if (point != std::string_view::npos && fraction.empty()) return std::nullopt;
  int64_t nano = 0;
  for (const char digit : units) {
    if (digit < '0' || digit > '9') return std::nullopt;
    nano = nano * 10 + (digit - '0');
    if (nano > kUnitsMax) return std::nullopt;
  }
  for (size_t i = 0; i < kFractionDigits; ++i) {
    const char digit = i < fraction.size() ? fraction[i] : '0';
    if (digit < '0' || digit > '9') return std::nullopt;
    nano = nano * 10 + (digit - '0');
  }
  return nano;
}

std::string FormatMoney(int64_t nano) {
  if (nano < 0) return absl::StrCat("-", FormatMoney(-nano));
  std::string text = absl::StrFormat("%d.%09d", nano / kNanoPerUnit, nano % kNanoPerUnit);
  const size_t digits_min = text.find('.') + 3;
  while (text.size() > digits_min && text.back() == '0') text.pop_back();
  return text;
}

}  // namespace spillway
