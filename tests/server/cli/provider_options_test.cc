#include "server/cli/provider_options.h"

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

std::string Environment(const std::string& name) {
  if (name == "DASHSCOPE_API_KEY") return "sk-theirs";
  return name == "SPACED" ? "sk theirs" : "";
}

TEST(ProviderOptionsTest, Bailian) {
  const auto read = ReadProviderFlags({.providers = {"bailian"}}, Environment);
  ASSERT_TRUE(read.ok()) << read.status();
  const ProviderOptions& bailian = read->at(0);
  EXPECT_EQ(bailian.name, "bailian");
  EXPECT_EQ(bailian.url, "https://dashscope.aliyuncs.com/compatible-mode/v1");
  EXPECT_EQ(bailian.key, "sk-theirs");
  EXPECT_TRUE(bailian.any_model);
  const auto elsewhere =
      ReadProviderFlags({.providers = {"bailian=https://dashscope-intl.example/v1"}}, Environment);
  EXPECT_EQ(elsewhere->at(0).url, "https://dashscope-intl.example/v1");
}

TEST(ProviderOptionsTest, UpstreamsAreAskedAfterTheProvidersAndGetTheirOwnKey) {
  SocketDir folder;
  std::ofstream(folder.Path("key")) << "sk-file\n";
  const auto read =
      ReadProviderFlags({.providers = {"bailian"},
                         .upstreams = {"http://127.0.0.1:8000", "big=https://gpu.example/v1"},
                         .upstream_key_file = folder.Path("key")},
                        Environment);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->at(1).name, "upstream-0");
  EXPECT_EQ(read->at(1).key, "sk-file");
  EXPECT_EQ(read->at(2).name, "big");
  EXPECT_EQ(read->at(2).row, "generic");
  const auto none = ReadProviderFlags({.upstreams = {"http://127.0.0.1:8000"}}, Environment);
  EXPECT_EQ(none->at(0).key, "");
}

TEST(ProviderOptionsTest, ModelsAreAllProvidersOrOnes) {
  const auto read = ReadProviderFlags({.providers = {"bailian"},
                                       .upstreams = {"big=http://gpu:8000", "any=http://x:1"},
                                       .models = {"bailian:r1=deepseek-r1", "big:qwen3:8b=Qwen3"}},
                                      Environment);
  ASSERT_TRUE(read.ok()) << read.status();
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(read->at(0).models, (Pairs{{"r1", "deepseek-r1"}}));
  EXPECT_EQ(read->at(1).models, (Pairs{{"qwen3:8b", "Qwen3"}}));
  EXPECT_FALSE(read->at(0).any_model);
  EXPECT_TRUE(read->at(2).any_model);
}

TEST(ProviderOptionsTest, WhatMeansNothing) {
  for (const auto& [flags, message] : std::vector<std::pair<ProviderFlags, std::string>>{
           {{.providers = {"openai"}}, "there is bailian"},
           {{.providers = {"generic"}}, "--upstream URL"},
           {{.providers = {"bailian=ftp://x"}}, "is no URL"},
           {{.upstreams = {"a b=http://x"}}, "a name is of letters"},
           {{.upstreams = {"a=http://x", "a=http://y"}}, "two providers are called a"},
           {{.upstreams = {"http://x"}, .upstream_key_variable = "NONE"}, "no such variable"},
           {{.upstreams = {"http://x"}, .upstream_key_variable = "SPACED"}, "can't be a key"},
           {{.upstreams = {"http://x"}, .upstream_key_file = "/nowhere"}, "can't be read"},
           {{.upstreams = {"http://x"}, .models = {"r1"}}, "NAME=THEIRS"},
           {{.models = {"a=b"}}, "needs --provider"}}) {
    const auto read = ReadProviderFlags(flags, Environment);
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(message));
    EXPECT_THAT(std::string(read.status().message()), ::testing::Not(HasSubstr("sk theirs")));
  }
  const auto no_key = ReadProviderFlags({.providers = {"bailian"}},
                                        [](const std::string&) { return std::string(); });
  EXPECT_THAT(std::string(no_key.status().message()), HasSubstr("needs its key in $DASHSCOPE"));
}

}  // namespace
}  // namespace spillway
