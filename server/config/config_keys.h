#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace spillway {

// What the value of a key is.
enum class ConfigType {
  kText,
  kSwitch,   // true or false
  kInteger,  // from `min` to `max`
  kSeconds,  // a number from `min` to `max`, of at most 9 digits behind the point
  kTexts,    // a text, or a list of them
  kModels,   // a list of {name, path}, or of texts "NAME=PATH"
};

// A key of spillway.yaml. Each says what one flag of `spillway serve` says, so that there is one
// meaning, one check and one default of everything.
struct ConfigKey {
  std::string_view path;  // "tls.cert": `cert` in the section `tls`
  std::string_view flag;  // "--tls-cert"
  ConfigType type;
  std::string_view help;
  double min = 0;
  double max = 0;
  bool live = false;  // a change of it takes effect without a restart
};

// All, sections together. docs/config.md tells of each, and a test holds it to that.
std::span<const ConfigKey> ConfigKeys();

// "text", "true or false", "whole number from 0 to 64", …
std::string DescribeType(const ConfigKey& key);

// A JSON schema of the file, for editors.
std::string ConfigSchema();

}  // namespace spillway
