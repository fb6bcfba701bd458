#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/config_keys.h"

namespace spillway {

// What a file says of one key, in the words of its flag.
struct ConfigSetting {
  const ConfigKey* key = nullptr;   // of ConfigKeys()
  std::vector<std::string> values;  // {"true"} or {"false"} of a switch

  friend bool operator==(const ConfigSetting&, const ConfigSetting&) = default;
};

// One thing that is wrong.
struct ConfigError {
  int line = 0;  // from 1 on; 0: of the whole file
  std::string message;
};

using ConfigResult = std::variant<std::vector<ConfigSetting>, std::vector<ConfigError>>;

// What a spillway.yaml says, by the order of ConfigKeys(); or all that is wrong with it, by lines:
// keys that there are none of, values of another kind or out of range, keys that stand twice.
// At most 1 MiB of UTF-8.
ConfigResult ParseConfig(std::string_view text);

// "spillway.yaml:3: …", a line for each.
std::string FormatErrors(const std::string& path, const std::vector<ConfigError>& errors);

// Reads and parses a file.
//   NOT_FOUND         it can't be read
//   INVALID_ARGUMENT  FormatErrors() of it
absl::StatusOr<std::vector<ConfigSetting>> ReadConfig(const std::string& path);

// The command line `arguments` ("spillway", "serve", …), with what the file says before what it
// says itself. `given`: flags that it has, which win.
std::vector<std::string> MergeCommandLine(const std::vector<std::string>& arguments,
                                          const std::vector<ConfigSetting>& settings,
                                          const std::vector<std::string>& given);

// The paths of the keys in which two files differ.
std::vector<const ConfigKey*> ChangedKeys(const std::vector<ConfigSetting>& before,
                                          const std::vector<ConfigSetting>& after);

}  // namespace spillway
