// A configuration file either becomes settings whose keys there are, or errors with lines of it.
#include "server/config/config_file.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "common/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace spillway;  // NOLINT: a fuzz target
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ConfigResult result = ParseConfig(text);
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
    CHECK(!errors->empty());
    const auto lines =
        2 + std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; });
    for (const ConfigError& error : *errors) CHECK(error.line >= 0 && error.line <= lines);
    CHECK(!FormatErrors("f", *errors).empty());
    return 0;
  }
  const auto& settings = std::get<std::vector<ConfigSetting>>(result);
  for (const ConfigSetting& setting : settings) CHECK(setting.key != nullptr);
  CHECK(ChangedKeys(settings, settings).empty());
  CHECK(MergeCommandLine({"spillway", "serve"}, settings, {}).size() >= 2);
  return 0;
}
