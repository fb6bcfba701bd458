#include "server/cli/token_changes.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/money.h"
#include "common/status_macros.h"
#include "server/http/ip_address.h"

namespace spillway {
namespace {

constexpr size_t kListMax = 256;
constexpr size_t kNameBytesMax = 128;
constexpr absl::Duration kSpanMax = absl::Hours(10 * 365 * 24);

absl::Status CheckModelName(const std::string& name) {
  bool fits = !name.empty() && name.size() <= kNameBytesMax;
  for (const char c : name) fits = fits && c > ' ' && c != 0x7f;
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a model's name has 1 to ", kNameBytesMax,
                                                 " characters and no spaces; this is \"",
                                                 name.substr(0, kNameBytesMax), "\""));
}

// Whether a list says that there is nothing in it.
absl::StatusOr<bool> IsEmptyList(const std::vector<std::string>& list, const char* option,
                                 const char* word) {
  if (list.size() > kListMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, " may be given ", kListMax, " times, not ", list.size()));
  }
  for (const std::string& value : list) {
    if (value != word) continue;
    if (list.size() == 1) return true;
    return absl::InvalidArgumentError(
        absl::StrCat(option, " ", word, " leaves no place for another ", option));
  }
  return false;
}

absl::Status ChangeModels(const std::vector<std::string>& models, TokenLimits& limits) {
  ASSIGN_OR_RETURN(const bool any, IsEmptyList(models, "--model", "any"));
  limits.models.clear();
  if (any) return absl::OkStatus();
  for (const std::string& model : models) RETURN_IF_ERROR(CheckModelName(model));
  limits.models = models;
  return absl::OkStatus();
}

absl::Status ChangeAliases(const std::vector<std::string>& aliases, TokenLimits& limits) {
  ASSIGN_OR_RETURN(const bool none, IsEmptyList(aliases, "--alias", "none"));
  limits.aliases.clear();
  if (none) return absl::OkStatus();
  for (const std::string& text : aliases) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--alias is NAME=MODEL, such as gpt-4=qwen3-8b; this is \"", text, "\""));
    }
    const std::string name = text.substr(0, equals);
    const std::string model = text.substr(equals + 1);
    RETURN_IF_ERROR(CheckModelName(name));
    RETURN_IF_ERROR(CheckModelName(model));
    if (!limits.aliases.emplace(name, model).second) {
      return absl::InvalidArgumentError(absl::StrCat("--alias ", name, " is given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ChangeNetworks(const std::vector<std::string>& networks, TokenRecord& token) {
  ASSIGN_OR_RETURN(const bool any, IsEmptyList(networks, "--network", "any"));
  token.networks.clear();
  if (any) return absl::OkStatus();
  for (const std::string& network : networks) {
    if (absl::Status status = IpNetwork::Parse(network).status(); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--network ", status.message()));
    }
  }
  token.networks = networks;
  return absl::OkStatus();
}

absl::Status ChangeExpiry(const std::string& when, absl::Time now, TokenRecord& token) {
  if (when == "never") {
    token.expires.reset();
    return absl::OkStatus();
  }
  absl::Time day;
  std::string error;
  if (absl::ParseTime("%Y-%m-%d", when, absl::UTCTimeZone(), &day, &error)) {
    token.expires = day;
    return absl::OkStatus();
  }
  const absl::StatusOr<absl::Duration> span = ParseSpan(when);
  if (!span.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--expires is a time such as 30d or 12h, a day such as 2027-01-31, or never; this is \"",
        when, "\""));
  }
  token.expires = now + *span;
  return absl::OkStatus();
}

// "2.50 CNY". Both budgets of a token have one currency.
absl::Status ChangeBudget(const std::string& text, const char* option, int64_t& nano,
                          const int64_t& other_nano, std::string& currency) {
  if (text == "none") {
    nano = 0;
    return absl::OkStatus();
  }
  const size_t space = text.find(' ');
  const std::optional<int64_t> amount = ParseMoney(text.substr(0, space));
  const std::string named = space == std::string::npos ? "" : text.substr(space + 1);
  const bool code = named.size() == 3 &&
                    named.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
  if (!amount || *amount == 0 || !code) {
    return absl::InvalidArgumentError(absl::StrCat(
        option, " is an amount and a currency, such as \"2.50 CNY\", or none; this is \"", text,
        "\""));
  }
  if (other_nano != 0 && currency != named) {
    return absl::InvalidArgumentError(
        absl::StrCat("a token's budgets have one currency; the other is in ", currency, ", ",
                     option, " in ", named));
  }
  nano = *amount;
  currency = named;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<absl::Duration> ParseSpan(const std::string& text) {
  // What absl knows has no days.
  std::string known = text;
  int64_t factor = 1;
  if (!known.empty() && known.back() == 'd') {
    known.back() = 'h';
    factor = 24;
  }
  absl::Duration span;
  if (!absl::ParseDuration(known, &span) || span < absl::ZeroDuration() ||
      span * factor > kSpanMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a time is written as 15m, 24h or 7d, up to ten years; this is \"", text, "\""));
  }
  return span * factor;
}

absl::Status ApplyChange(const TokenChange& change, absl::Time now, TokenRecord& token) {
  TokenLimits& limits = token.limits;
  if (change.models) RETURN_IF_ERROR(ChangeModels(*change.models, limits));
  if (change.aliases) RETURN_IF_ERROR(ChangeAliases(*change.aliases, limits));
  if (change.networks) RETURN_IF_ERROR(ChangeNetworks(*change.networks, token));
  if (change.expires) RETURN_IF_ERROR(ChangeExpiry(*change.expires, now, token));
  if (change.budget_per_day) {
    RETURN_IF_ERROR(ChangeBudget(*change.budget_per_day, "--budget-per-day", limits.budget_day_nano,
                                 limits.budget_month_nano, limits.budget_currency));
  }
  if (change.budget_per_month) {
    RETURN_IF_ERROR(ChangeBudget(*change.budget_per_month, "--budget-per-month",
                                 limits.budget_month_nano, limits.budget_day_nano,
                                 limits.budget_currency));
  }
  limits.requests_per_minute = change.requests_per_minute.value_or(limits.requests_per_minute);
  limits.tokens_per_minute = change.tokens_per_minute.value_or(limits.tokens_per_minute);
  limits.requests_per_day = change.requests_per_day.value_or(limits.requests_per_day);
  limits.tokens_per_day = change.tokens_per_day.value_or(limits.tokens_per_day);
  limits.concurrency = change.concurrency.value_or(limits.concurrency);
  return absl::OkStatus();
}

}  // namespace spillway
