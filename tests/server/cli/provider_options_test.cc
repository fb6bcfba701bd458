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

TEST(ProviderOptionsTest, PricesAreOfNamesThatClientsUse) {
  const auto read = ReadProviderFlags({.providers = {"bailian"},
                                       .upstreams = {"any=http://x:1"},
                                       .models = {"bailian:r1=deepseek-r1"},
                                       .prices = {"r1=4/16", "any:Qwen/Qwen3-8B=0.5/2/0.05/4"},
                                       .currency = "USD"},
                                      Environment);
  ASSERT_TRUE(read.ok()) << read.status();
  const ModelPrice& r1 = read->at(0).prices.at("r1");
  EXPECT_EQ(r1.currency, "USD");
  EXPECT_EQ(r1.input_nano, 4'000'000'000);
  EXPECT_EQ(r1.output_nano, 16'000'000'000);
  EXPECT_FALSE(r1.cached_input_nano || r1.thinking_nano);
  EXPECT_TRUE(read->at(1).prices.contains("r1"));  // it takes all names
  const ModelPrice& qwen = read->at(1).prices.at("Qwen/Qwen3-8B");
  EXPECT_EQ(qwen.cached_input_nano, 50'000'000);
  EXPECT_EQ(qwen.thinking_nano, 4'000'000'000);
  EXPECT_FALSE(read->at(0).prices.contains("Qwen/Qwen3-8B"));
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
           {{.models = {"a=b"}}, "needs --provider"},
           {{.prices = {"a=1/2"}}, "needs --provider"},
           {{.upstreams = {"http://x"}, .prices = {"a=1"}}, "INPUT/OUTPUT"},
           {{.upstreams = {"http://x"}, .prices = {"=1/2"}}, "INPUT/OUTPUT"},
           {{.upstreams = {"http://x"}, .prices = {"a=1/-2"}}, "INPUT/OUTPUT"},
           {{.upstreams = {"http://x"}, .prices = {"a=1/2/3/4/5"}}, "INPUT/OUTPUT"},
           {{.upstreams = {"http://x"}, .prices = {"a=1/2", "a=1/2"}}, "two prices"},
           {{.upstreams = {"http://x"}, .models = {"a=b"}, .prices = {"c=1/2"}}, "no provider has"},
           {{.upstreams = {"http://x"}, .currency = "yuan"}, "three capital letters"}}) {
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
