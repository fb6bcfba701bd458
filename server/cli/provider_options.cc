#include "server/cli/provider_options.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/money.h"
#include "common/status_macros.h"
#include "router/providers/provider_table.h"
#include "server/http/http_client.h"

namespace spillway {
namespace {

constexpr size_t kNameBytesMax = 64;
constexpr size_t kKeyBytesMax = 4096;

// "NAME=VALUE"; a name of its own is nothing that could begin a URL.
std::pair<std::string, std::string> Split(const std::string& flag) {
  const size_t equals = flag.find('=');
  if (equals == std::string::npos || flag.substr(0, equals).find("://") != std::string::npos) {
    return {"", flag};
  }
  return {flag.substr(0, equals), flag.substr(equals + 1)};
}

// It stands in headers, logs and metrics.
bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                  c == '.';
         });
}

// A header's value, or a part of one.
absl::Status CheckKey(const std::string& key, const std::string& from) {
  const bool visible =
      std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!key.empty() && key.size() <= kKeyBytesMax && visible) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("what ", from, " holds can't be a key: it is empty, or has spaces in it"));
}

absl::StatusOr<ProviderOptions> ReadProvider(
    const std::string& flag, const std::function<std::string(const std::string&)>& environment) {
  const auto [before, after] = Split(flag);
  ProviderOptions options;
  options.name = before.empty() ? after : before;
  const ProviderRow* row = FindProvider(options.name);
  if (row == nullptr || row->base_url.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--provider ", options.name,
                     ": there is bailian; for any other server with OpenAI's API: --upstream URL"));
  }
  options.row = options.name;
  options.url = before.empty() ? std::string(row->base_url) : after;
  options.key_name = std::string(row->key_variable);
  options.key = environment(options.key_name);
  if (options.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--provider ", options.name, " needs its key in $", options.key_name));
  }
  return options;
}

absl::Status ReadUpstreamKey(const ProviderFlags& flags,
                             const std::function<std::string(const std::string&)>& environment,
                             ProviderOptions& options) {
  if (!flags.upstream_key_file.empty()) {
    std::ifstream file(flags.upstream_key_file);
    if (!file || !std::getline(file, options.key)) {
      return absl::NotFoundError(
          absl::StrCat("--upstream-key-file ", flags.upstream_key_file, ": it can't be read"));
    }
    options.key_name = flags.upstream_key_file;
  } else if (!flags.upstream_key_variable.empty()) {
    options.key_name = flags.upstream_key_variable;
    options.key = environment(options.key_name);
    if (options.key.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--upstream-key-env ", options.key_name, ": there is no such variable"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ProviderOptions> ReadUpstream(const std::string& flag, size_t index) {
  auto [name, url] = Split(flag);
  ProviderOptions options;
  options.name = name.empty() ? absl::StrCat("upstream-", index) : name;
  options.row = "generic";
  options.url = url;
  if (!IsName(options.name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--upstream ", flag, ": a name is of letters, digits, \"-\", \"_\" and \".\", ",
        kNameBytesMax, " at most"));
  }
  return options;
}

// "[PROVIDER:]NAME=THEIRS"
// The provider whose name stands before `name`, which loses it; null: none does.
ProviderOptions* TakeProvider(std::string& name, std::vector<ProviderOptions>& options) {
  for (ProviderOptions& each : options) {
    if (!name.starts_with(each.name + ":")) continue;
    name = name.substr(each.name.size() + 1);
    return &each;
  }
  return nullptr;
}

absl::Status ReadModel(const std::string& flag, std::vector<ProviderOptions>& options) {
  auto [name, theirs] = Split(flag);
  const ProviderOptions* only = TakeProvider(name, options);
  if (name.empty() || theirs.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--provider-model ", flag, ": say NAME=THEIRS, or PROVIDER:NAME=THEIRS"));
  }
  for (ProviderOptions& each : options) {
    if (only == nullptr || only == &each) each.models.emplace_back(name, theirs);
  }
  return absl::OkStatus();
}

// "INPUT/OUTPUT[/CACHED[/THINKING]]"; nothing: it is none.
std::optional<ModelPrice> ReadPrices(const std::string& text, const std::string& currency) {
  std::vector<int64_t> numbers;
  for (const absl::string_view part : absl::StrSplit(text, '/')) {
    const std::optional<int64_t> nano = ParseMoney(std::string_view(part.data(), part.size()));
    if (!nano || numbers.size() == 4) return std::nullopt;
    numbers.push_back(*nano);
  }
  if (numbers.size() < 2) return std::nullopt;
  ModelPrice price = {.currency = currency, .input_nano = numbers[0], .output_nano = numbers[1]};
  if (numbers.size() > 2) price.cached_input_nano = numbers[2];
  if (numbers.size() > 3) price.thinking_nano = numbers[3];
  return price;
}

absl::Status ReadPrice(const std::string& flag, const std::string& currency,
                       std::vector<ProviderOptions>& options) {
  // A model's name may have a "=" in it, a price has none.
  const size_t equals = flag.rfind('=');
  std::string name = flag.substr(0, equals == std::string::npos ? 0 : equals);
  const ProviderOptions* only = TakeProvider(name, options);
  const auto price = name.empty() ? std::nullopt : ReadPrices(flag.substr(equals + 1), currency);
  if (!price) {
    return absl::InvalidArgumentError(
        absl::StrCat("--provider-price ", flag,
                     ": say MODEL=INPUT/OUTPUT, then maybe /CACHED and /THINKING: "
                     "numbers such as 0.8 of ",
                     currency, " for 1,000,000 tokens"));
  }
  bool known = false;
  for (ProviderOptions& each : options) {
    if (only != nullptr && only != &each) continue;
    const auto is_it = [&name](const auto& model) { return model.first == name; };
    if (!each.any_model && std::none_of(each.models.begin(), each.models.end(), is_it)) continue;
    known = true;
    if (!each.prices.emplace(name, *price).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--provider-price: ", name, " has two prices at ", each.name));
    }
  }
  if (known) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--provider-price ", flag, ": no provider has a model ", name,
                   "; a price is of a name that --provider-model gives"));
}

// As budgets have it (server/cli/token_changes.h).
absl::Status CheckCurrency(const std::string& currency) {
  const bool letters = std::all_of(currency.begin(), currency.end(), [](char c) {
    return absl::ascii_isupper(static_cast<unsigned char>(c));
  });
  if (currency.size() == 3 && letters) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--provider-currency ", currency, ": three capital letters, such as CNY"));
}

}  // namespace

absl::StatusOr<std::vector<ProviderOptions>> ReadProviderFlags(
    const ProviderFlags& flags, const std::function<std::string(const std::string&)>& environment) {
  std::vector<ProviderOptions> all;
  for (const std::string& flag : flags.providers) {
    ASSIGN_OR_RETURN(ProviderOptions options, ReadProvider(flag, environment));
    all.push_back(std::move(options));
  }
  for (size_t i = 0; i < flags.upstreams.size(); ++i) {
    ASSIGN_OR_RETURN(ProviderOptions options, ReadUpstream(flags.upstreams[i], i));
    RETURN_IF_ERROR(ReadUpstreamKey(flags, environment, options));
    all.push_back(std::move(options));
  }
  for (ProviderOptions& options : all) {
    if (!options.key_name.empty()) RETURN_IF_ERROR(CheckKey(options.key, options.key_name));
    RETURN_IF_ERROR(ParseBaseUrl(options.url).status());
    options.requests_per_minute = flags.requests_per_minute;
    options.tokens_per_minute = flags.tokens_per_minute;
    const auto same = [&](const ProviderOptions& each) { return each.name == options.name; };
    if (std::count_if(all.begin(), all.end(), same) > 1) {
      return absl::InvalidArgumentError(absl::StrCat("two providers are called ", options.name,
                                                     "; name upstreams: --upstream NAME=URL"));
    }
  }
  for (const std::string& flag : flags.models) {
    if (all.empty()) {
      return absl::InvalidArgumentError("--provider-model needs --provider or --upstream");
    }
    RETURN_IF_ERROR(ReadModel(flag, all));
  }
  for (ProviderOptions& options : all) options.any_model = options.models.empty();
  RETURN_IF_ERROR(CheckCurrency(flags.currency));
  for (const std::string& flag : flags.prices) {
    if (all.empty()) {
      return absl::InvalidArgumentError("--provider-price needs --provider or --upstream");
    }
    RETURN_IF_ERROR(ReadPrice(flag, flags.currency, all));
  }
  return all;
}

}  // namespace spillway
