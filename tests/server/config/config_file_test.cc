#include "server/config/config_file.h"

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Errors(std::string_view text) {
  const ConfigResult result = ParseConfig(text);
  const auto* errors = std::get_if<std::vector<ConfigError>>(&result);
  return errors == nullptr ? "" : FormatErrors("f", *errors);
}

std::vector<ConfigSetting> Settings(std::string_view text) {
  ConfigResult result = ParseConfig(text);
  EXPECT_EQ(Errors(text), "");
  return std::get<std::vector<ConfigSetting>>(std::move(result));
}

std::vector<std::string> Merged(std::string_view text, std::vector<std::string> given = {}) {
  std::vector<std::string> arguments = {"spillway", "serve"};
  for (const std::string& flag : given) arguments.push_back(flag + "=x");
  return MergeCommandLine(arguments, Settings(text), given);
}

TEST(ConfigFileTest, EachKeyIsAFlag) {
  EXPECT_THAT(Merged("listen: [127.0.0.1:1, 'http://[::1]:2']\n"
                     "workers: 2\n"
                     "no_auth: true\n"
                     "verbose: false\n"
                     "tls:\n  cert: c.pem\n  key: k.pem\n"
                     "shutdown: {grace: 0.5}\n"
                     "trusted_proxies: 10.0.0.0/8\n"),
              ElementsAre("spillway", "serve", "--listen=127.0.0.1:1", "--listen=http://[::1]:2",
                          "--no-auth", "--trusted-proxy=10.0.0.0/8", "--tls-cert=c.pem",
                          "--tls-key=k.pem", "--workers=2", "--grace=0.5"));
  EXPECT_THAT(Merged("models:\n- {name: big, path: /m/b.gguf}\n- small=s.gguf\n- path: t.gguf\n"),
              ElementsAre("spillway", "serve", "--model=big=/m/b.gguf", "--model=small=s.gguf",
                          "--model=t.gguf"));
}

TEST(ConfigFileTest, FlagsWin) {
  EXPECT_THAT(Merged("listen: [a:1, b:2]\nworkers: 3\n", {"--listen"}),
              ElementsAre("spillway", "serve", "--workers=3", "--listen=x"));
}

TEST(ConfigFileTest, AnEmptyFileSaysNothing) {
  for (const char* text : {"", "\n", "# only a comment\n", "---\n", "tls:\n"}) {
    EXPECT_TRUE(Settings(text).empty()) << text;
  }
}

TEST(ConfigFileTest, AllErrorsAreToldAtOnceWithLineValueAndChoices) {
  EXPECT_EQ(Errors("workers: 65\n"
                   "listn: a:1\n"
                   "tls: {certificate: x}\n"
                   "http_threads: many\n"
                   "no_auth: yes\n"
                   "shutdown: {grace: -1}\n"
                   "models: m.gguf\n"
                   "ollama: [a, b]\n"
                   "workers: 1\n"),
            "f:1: workers is a whole number from 0 to 64; this is \"65\"\n"
            "f:2: there is no key \"listn\"; did you mean \"listen\"?\n"
            "f:3: there is no key \"certificate\" in tls; there are: cert, key\n"
            "f:4: http_threads is a whole number from 1 to 256; this is \"many\"\n"
            "f:5: no_auth is true or false; this is \"yes\"\n"
            "f:6: shutdown.grace is a number of seconds from 0 to 3600; this is \"-1\"\n"
            "f:7: models is a list of texts \"NAME=PATH\", or of {name, path}; this is \"m.gguf\"\n"
            "f:8: ollama is text; this is a list\n"
            "f:9: workers stands here twice");
}

TEST(ConfigFileTest, EntriesOfListsAreCheckedToo) {
  EXPECT_THAT(Errors("models:\n- name: big\n"), HasSubstr("f:2: models needs a path here"));
  EXPECT_THAT(Errors("models:\n- path: p\n  pth: q\n"),
              HasSubstr("f:3: there is no key \"pth\" in models; there are: name, path"));
  EXPECT_THAT(Errors("trusted_proxies: [a, {b: c}]\n"), HasSubstr("this is a section"));
  EXPECT_THAT(Errors("trusted_proxies: [a, '']\n"), HasSubstr("this is \"\""));
}

TEST(ConfigFileTest, WhatIsNoYamlOrNoFileOfOursSaysSo) {
  EXPECT_THAT(Errors("listen: [a\n"), HasSubstr(": no YAML: "));
  EXPECT_THAT(Errors("- a\n"), HasSubstr("f:1: the file is a list of \"key: value\" lines"));
  EXPECT_THAT(Errors("workers: 1\n---\nworkers: 2\n"), HasSubstr("f:2: what stands here"));
  // The library's LoadAll() took all memory for these.
  for (const char* text : {"]", "workers: 1\n]\n", "listen: a]\n}", "workers: 1\n]\nlistn: 2\n"}) {
    EXPECT_NE(Errors(text), "") << text;
  }
  EXPECT_THAT(Errors("? [a]\n: b\n"), HasSubstr("a key is a word"));
  EXPECT_THAT(Errors(std::string((1 << 20) + 1, ' ')), HasSubstr("beyond the limit of 1048576"));
  EXPECT_THAT(Errors("listen: &a [*a]\n"), testing::Not(testing::IsEmpty()));
  EXPECT_EQ(ReadConfig("/no/such/file").status().code(), absl::StatusCode::kNotFound);
}

TEST(ConfigFileTest, ErrorsAndListsAreBounded) {
  std::string many;
  for (int i = 0; i < 500; ++i) many += "nothing_like_this_" + std::to_string(i) + ": 1\n";
  const std::string errors = Errors(many);
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 99);
  std::string list = "trusted_proxies: [a";
  for (int i = 0; i < 1000; ++i) list += ", a";
  EXPECT_THAT(Errors(list + "]\n"), HasSubstr("trusted_proxies is"));
}

TEST(ConfigFileTest, TellsWhatChanged) {
  const auto before = Settings("workers: 1\nlisten: a:1\ntokens: {sha256: [x]}\n");
  const auto after = Settings("listen: [a:1]\ntokens: {sha256: [y]}\nverbose: true\n");
  std::vector<std::string_view> paths;
  for (const ConfigKey* key : ChangedKeys(before, after)) paths.push_back(key->path);
  EXPECT_THAT(paths, ElementsAre("tokens.sha256", "workers", "verbose"));
  EXPECT_TRUE(ChangedKeys(before, before).empty());
}

}  // namespace
}  // namespace spillway
