#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "router/model_price.h"

namespace spillway {

// What the command line says of servers that models may be asked of elsewhere, as it stands there.
struct ProviderFlags {
  std::vector<std::string> providers;  // "bailian", or "bailian=URL"
  std::vector<std::string> upstreams;  // "URL", or "NAME=URL"
  std::vector<std::string> models;     // "[PROVIDER:]NAME=THEIRS"
  std::string upstream_key_file;
  std::string upstream_key_variable;  // of the environment
  int64_t requests_per_minute = 0;    // of each model of each; 0: as many as one likes
  int64_t tokens_per_minute = 0;

  std::vector<std::string> prices;  // "[PROVIDER:]MODEL=INPUT/OUTPUT[/CACHED[/THINKING]]"
  std::string currency = "CNY";     // of those

  int64_t spill_after_ms = 0;  // 0: as long as it takes

  bool any() const { return !providers.empty() || !upstreams.empty(); }
};

// One of them, in the order of asking: those of --provider, then those of --upstream.
struct ProviderOptions {
  std::string name;
  std::string row;  // of the provider table
  std::string url;
  std::string key_name;  // for people: a variable's or a file's; empty: there is none
  std::string key;
  std::vector<std::pair<std::string, std::string>> models;  // what clients say, what it says
  bool any_model = false;
  std::map<std::string, ModelPrice> prices = {};  // by what clients say
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
};

// What the flags mean. `environment` gives a variable's value, empty where there is none; main
// reads it.
//   INVALID_ARGUMENT  one of them means nothing, or a key is missing; the message never has a key
//   NOT_FOUND         the key's file can't be read
absl::StatusOr<std::vector<ProviderOptions>> ReadProviderFlags(
    const ProviderFlags& flags, const std::function<std::string(const std::string&)>& environment);

}  // namespace spillway
