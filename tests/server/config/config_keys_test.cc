#include "server/config/config_keys.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "server/cli/command_line.h"

namespace spillway {
namespace {

// Flags that no file says: of the file itself, of this very call, or said by another key.
const std::set<std::string> kNotInFiles = {"--help", "--config", "--model-name"};

std::set<std::string> FlagsOfServe() {
  const char* argv[] = {"spillway", "serve", "--help"};
  const std::string help = std::get<Exit>(ParseCommandLine(3, argv, Environment())).out;
  std::set<std::string> flags;
  std::istringstream lines(help);
  const std::regex option("^  (-h,)?(--[a-z0-9-]+).*");
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, option)) flags.insert(match[2]);
  }
  return flags;
}

TEST(ConfigKeysTest, WhateverAFlagSaysAFileCanSay) {
  std::set<std::string> keys;
  for (const ConfigKey& key : ConfigKeys()) {
    EXPECT_TRUE(keys.insert(std::string(key.flag)).second) << key.flag << " has two keys";
  }
  std::set<std::string> flags = FlagsOfServe();
  EXPECT_GT(flags.size(), 20u);
  for (const std::string& flag : kNotInFiles) {
    EXPECT_EQ(flags.erase(flag), 1u) << flag;
  }
  EXPECT_EQ(keys, flags);
}

TEST(ConfigKeysTest, TheManualTellsOfEachKeyWhatItIs) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/docs/config.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string manual = text.str();
  size_t rows = 0;
  for (size_t at = 0; (at = manual.find("\n| `", at)) != std::string::npos; ++at) ++rows;
  EXPECT_EQ(rows, ConfigKeys().size());
  for (const ConfigKey& key : ConfigKeys()) {
    const std::string row = "| `" + std::string(key.path) + "` | " + DescribeType(key) + " | `" +
                            std::string(key.flag) + "` | " + std::string(key.help) + " |\n";
    EXPECT_NE(manual.find(row), std::string::npos) << "docs/config.md lacks: " << row;
  }
}

TEST(ConfigKeysTest, TheSchemaKnowsAllKeysAndNoOthers) {
  const auto schema = nlohmann::json::parse(ConfigSchema());
  EXPECT_FALSE(schema["additionalProperties"].get<bool>());
  size_t properties = 0;
  for (const auto& [name, property] : schema["properties"].items()) {
    properties += property.contains("properties") ? property["properties"].size() : 1;
  }
  EXPECT_EQ(properties, ConfigKeys().size());
  EXPECT_EQ(schema["properties"]["tls"]["properties"]["cert"]["type"], "string");
  EXPECT_EQ(schema["properties"]["workers"]["maximum"], 64);
}

}  // namespace
}  // namespace spillway
