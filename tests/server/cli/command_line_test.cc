#include "server/cli/command_line.h"

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Environment HomeOnly() {
  Environment environment;
  environment.home = "/home/me";
  environment.executable_folder = "/opt/bin";
  environment.cores = 4;
  return environment;
}

Command Parse(std::vector<const char*> arguments, const Environment& environment = HomeOnly()) {
  arguments.insert(arguments.begin(), "spillway");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data(), environment);
}

TEST(CommandLineTest, ServeHasDefaults) {
  const auto options = std::get<ServeOptions>(Parse({"serve"}));
  ASSERT_EQ(options.models.size(), 1u);
  EXPECT_EQ(options.models[0].path,
            "/home/me/.cache/spillway/models/SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_EQ(options.models[0].name, "smollm2-135m-instruct");
  EXPECT_EQ(options.data_folder, "/home/me/.local/state/spillway");
  EXPECT_EQ(options.worker_binary, "/opt/bin/spillway-worker");
  EXPECT_THAT(options.listen, ElementsAre("127.0.0.1:8080"));
  EXPECT_EQ(options.workers, 1);
  EXPECT_EQ(options.worker_threads, 4);
  EXPECT_EQ(options.http_threads, 4);
  EXPECT_FALSE(options.no_auth);
  EXPECT_EQ(options.drain_delay, absl::Seconds(5));
  EXPECT_TRUE(CheckServeOptions(options).ok());
}

TEST(CommandLineTest, EnvironmentOverridesDefaultsAndFlagsOverrideBoth) {
  Environment environment = HomeOnly();
  environment.xdg_state_home = "/state";
  environment.default_model = "/models/env.gguf";
  const auto options = std::get<ServeOptions>(Parse({"serve", "--workers", "2"}, environment));
  EXPECT_EQ(options.models.at(0).path, "/models/env.gguf");
  EXPECT_EQ(options.data_folder, "/state/spillway");
  EXPECT_EQ(options.worker_threads, 2);
  const auto explicit_options = std::get<ServeOptions>(
      Parse({"serve", "--model", "m.gguf", "--data-dir", "d", "--threads", "3", "--grace", "0.5"},
            environment));
  EXPECT_EQ(options.worker_device, "");
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--device", "cuda:1"})).worker_device, "cuda:1");
  EXPECT_EQ(explicit_options.models.at(0).path, "m.gguf");
  EXPECT_EQ(explicit_options.data_folder, "d");
  EXPECT_EQ(explicit_options.worker_threads, 3);
  EXPECT_EQ(explicit_options.grace, absl::Milliseconds(500));
}

TEST(CommandLineTest, ModelsElsewhere) {
  const auto bailian =
      std::get<ServeOptions>(Parse({"serve", "--provider", "bailian", "--no-model",
                                    "--provider-model", "a=b", "--provider-model", "c=d"}));
  EXPECT_TRUE(bailian.models.empty());
  EXPECT_THAT(bailian.providers.models, ElementsAre("a=b", "c=d"));
  EXPECT_TRUE(CheckServeOptions(bailian).ok());
  // Beside a model, unless nobody names one.
  const auto beside = std::get<ServeOptions>(Parse({"serve", "--provider", "bailian"}));
  EXPECT_EQ(beside.models.size(), 1u);
  const auto upstream = std::get<ServeOptions>(Parse({"serve", "--upstream", "http://x"}));
  EXPECT_TRUE(upstream.no_model && upstream.models.empty());
  const auto both =
      std::get<ServeOptions>(Parse({"serve", "--upstream", "http://x", "--model", "m.gguf"}));
  EXPECT_FALSE(both.no_model);
  EXPECT_FALSE(CheckServeOptions(std::get<ServeOptions>(Parse({"serve", "--no-model"}))).ok());
  EXPECT_FALSE(CheckServeOptions(std::get<ServeOptions>(Parse({"serve", "--no-model", "--provider",
                                                               "bailian", "--model", "m.gguf"})))
                   .ok());
}

TEST(CommandLineTest, RepeatedOptions) {
  const auto options = std::get<ServeOptions>(
      Parse({"serve", "--listen", "127.0.0.1:0", "--listen", "[::1]:1", "--worker", "unix:/w",
             "--worker-arg=--kv-memory=1GB", "--token-sha256", "ab"}));
  EXPECT_THAT(options.listen, ElementsAre("127.0.0.1:0", "[::1]:1"));
  EXPECT_THAT(options.workers_elsewhere, ElementsAre("unix:/w"));
  EXPECT_EQ(options.workers, 0);
  EXPECT_TRUE(options.models.empty());
  EXPECT_THAT(options.worker_arguments, ElementsAre("--kv-memory=1GB"));
  EXPECT_THAT(options.token_sha256, ElementsAre("ab"));
}

TEST(CommandLineTest, ListenersSpeakTlsWithACertificate) {
  EXPECT_TRUE(ParseListenAddress("0.0.0.0:443", true).tls);
  EXPECT_FALSE(ParseListenAddress("0.0.0.0:443", false).tls);
  const ListenAddress plain = ParseListenAddress("http://127.0.0.1:80", true);
  EXPECT_FALSE(plain.tls);
  EXPECT_EQ(plain.address, "127.0.0.1:80");
  EXPECT_TRUE(ParseListenAddress("https://[::1]:443", false).tls);
  auto options = std::get<ServeOptions>(Parse({"serve", "--tls-cert", "c.pem"}));
  EXPECT_THAT(std::string(CheckServeOptions(options).message()), HasSubstr("give both"));
  options.tls_key = "k.pem";
  EXPECT_TRUE(CheckServeOptions(options).ok());
  options = std::get<ServeOptions>(Parse({"serve", "--listen", "https://0.0.0.0:443"}));
  EXPECT_THAT(std::string(CheckServeOptions(options).message()), HasSubstr("needs --tls-cert"));
  options = std::get<ServeOptions>(Parse(
      {"serve", "--no-auth", "--listen", "http://127.0.0.1:1", "--listen", "http://[::1]:1"}));
  EXPECT_TRUE(CheckServeOptions(options).ok());
}

TEST(CommandLineTest, TlsToWorkersTakesAllThreeFiles) {
  auto options =
      std::get<ServeOptions>(Parse({"serve", "--worker", "gpu1:7000", "--worker-tls-cert", "c.pem",
                                    "--worker-tls-key", "k.pem"}));
  EXPECT_THAT(std::string(CheckServeOptions(options).message()), HasSubstr("give all three"));
  options.worker_tls_authority = "ca.pem";
  EXPECT_TRUE(CheckServeOptions(options).ok());
  options.worker_tls_certificate = "";
  EXPECT_THAT(std::string(CheckServeOptions(options).message()), HasSubstr("give all three"));
}

TEST(CommandLineTest, TrustedProxiesAreNetworks) {
  auto options = std::get<ServeOptions>(
      Parse({"serve", "--trusted-proxy", "127.0.0.1", "--trusted-proxy", "fd00::/8"}));
  EXPECT_TRUE(CheckServeOptions(options).ok());
  options.trusted_proxies = {"nginx"};
  EXPECT_THAT(std::string(CheckServeOptions(options).message()),
              HasSubstr("--trusted-proxy \"nginx\" is not a network"));
}

TEST(CommandLineTest, SeveralModelsShareTheCores) {
  const auto options = std::get<ServeOptions>(
      Parse({"serve", "--model", "models/Qwen3-0.6B/", "--model", "small=/m/x.gguf", "--model",
             "./a=b.gguf", "--model", "m/a=b.gguf"}));
  ASSERT_EQ(options.models.size(), 4u);
  EXPECT_EQ(options.models[0].name, "qwen3-0.6b");
  EXPECT_EQ(options.models[0].path, "models/Qwen3-0.6B/");
  EXPECT_EQ(options.models[1].name, "small");
  EXPECT_EQ(options.models[1].path, "/m/x.gguf");
  EXPECT_EQ(options.models[2].path, "./a=b.gguf");
  EXPECT_EQ(options.models[2].name, "a-b");
  EXPECT_EQ(options.models[3].path, "m/a=b.gguf");
  EXPECT_EQ(options.worker_threads, 1);
  const auto two = std::get<ServeOptions>(Parse({"serve", "--model", "a", "--model", "b"}));
  EXPECT_EQ(two.worker_threads, 2);
  EXPECT_TRUE(CheckServeOptions(two).ok());
}

TEST(CommandLineTest, ModelIsNamedByItsFolderWhereverThatIs) {
  Environment environment = HomeOnly();
  environment.working_folder = "/models/SmolLM2-135M";
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--model", "."}, environment)).models.at(0).name,
            "smollm2-135m");
  EXPECT_EQ(
      std::get<ServeOptions>(Parse({"serve", "--model", "../Qwen"}, environment)).models.at(0).name,
      "qwen");
}

TEST(CommandLineTest, ModelsHaveDifferentNames) {
  const auto check = [](std::vector<const char*> models) {
    std::vector<const char*> arguments = {"serve"};
    for (const char* model : models) arguments.insert(arguments.end(), {"--model", model});
    return CheckServeOptions(std::get<ServeOptions>(Parse(arguments)));
  };
  EXPECT_TRUE(check({"a/Qwen", "q=b/Qwen"}).ok());
  const absl::Status same = check({"a/Qwen", "b/qwen.gguf"});
  EXPECT_EQ(same.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(same.message()),
              HasSubstr("a/Qwen and b/qwen.gguf would both be called qwen"));
  // Names that clients' requests can't tell apart.
  EXPECT_FALSE(check({"My_Model=a", "my-model=b"}).ok());
  EXPECT_FALSE(check({(std::string(129, 'n') + "=a").c_str()}).ok());
  const auto exit =
      std::get<Exit>(Parse({"serve", "--model", "a", "--model", "b", "--model-name", "c"}));
  EXPECT_NE(exit.code, 0);
  EXPECT_THAT(exit.error, HasSubstr("--model NAME=PATH"));
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--model", "a", "--model-name", "c"}))
                .models.at(0)
                .name,
            "c");
}

TEST(CommandLineTest, TokenLimitsThatAreNotGivenStayAsTheyAre) {
  const auto change = std::get<TokenCommand>(
      Parse({"token", "change", "ci", "--model", "a", "--model", "b", "--alias", "gpt-4=a",
             "--tokens-per-day", "0", "--expires", "30d", "--network", "10.0.0.0/8"}));
  EXPECT_EQ(change.action, TokenCommand::Action::kChange);
  EXPECT_THAT(*change.change.models, ElementsAre("a", "b"));
  EXPECT_THAT(*change.change.aliases, ElementsAre("gpt-4=a"));
  EXPECT_EQ(change.change.tokens_per_day, 0);
  EXPECT_EQ(change.change.expires, "30d");
  EXPECT_EQ(change.change.requests_per_minute, std::nullopt);
  const auto create = std::get<TokenCommand>(Parse({"token", "create", "x"}));
  EXPECT_EQ(create.change.models, std::nullopt);
  EXPECT_EQ(create.change.expires, std::nullopt);
  const auto rotate = std::get<TokenCommand>(Parse({"token", "rotate", "ci", "--grace", "1h"}));
  EXPECT_EQ(rotate.action, TokenCommand::Action::kRotate);
  EXPECT_EQ(rotate.grace, "1h");
  EXPECT_EQ(std::get<Exit>(Parse({"token", "create", "x", "--concurrency", "-1"})).code, 105);
}

TEST(CommandLineTest, TokenCommands) {
  const auto create = std::get<TokenCommand>(Parse({"token", "create", "laptop"}));
  EXPECT_EQ(create.action, TokenCommand::Action::kCreate);
  EXPECT_EQ(create.name, "laptop");
  EXPECT_EQ(create.tenant, "laptop");
  EXPECT_EQ(create.data_folder, "/home/me/.local/state/spillway");
  const auto list = std::get<TokenCommand>(Parse({"token", "list", "--data-dir", "d"}));
  EXPECT_EQ(list.action, TokenCommand::Action::kList);
  EXPECT_EQ(list.data_folder, "d");
  const auto revoke = std::get<TokenCommand>(Parse({"token", "revoke", "tok_1"}));
  EXPECT_EQ(revoke.action, TokenCommand::Action::kRevoke);
  EXPECT_EQ(revoke.name, "tok_1");
}

TEST(CommandLineTest, HelpVersionAndMistakes) {
  const auto help = std::get<Exit>(Parse({"serve", "--help"}));
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--listen"));
  const auto version = std::get<Exit>(Parse({"--version"}));
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, HasSubstr("spillway "));
  for (const auto& arguments : std::vector<std::vector<const char*>>{{},
                                                                     {"fly"},
                                                                     {"serve", "--wings"},
                                                                     {"serve", "--workers", "-1"},
                                                                     {"token"},
                                                                     {"token", "create"}}) {
    const auto mistake = std::get<Exit>(Parse(arguments));
    EXPECT_NE(mistake.code, 0);
    EXPECT_FALSE(mistake.error.empty());
  }
}

TEST(CommandLineTest, OpenAccessMustBeSaid) {
  ServeOptions options;
  options.no_auth = true;
  options.listen = {"localhost:1", "127.0.0.2:1", "[::1]:1"};
  EXPECT_TRUE(CheckServeOptions(options).ok());
  for (const char* address : {"0.0.0.0:80", "*:80", "10.0.0.1:80", "[::]:80", "127.evil:80"}) {
    options.listen = {"127.0.0.1:1", address};
    EXPECT_EQ(CheckServeOptions(options).code(), absl::StatusCode::kInvalidArgument) << address;
  }
  options.allow_open_access = true;
  EXPECT_TRUE(CheckServeOptions(options).ok());
  options.workers = 0;
  EXPECT_FALSE(CheckServeOptions(options).ok());
}

TEST(CommandLineTest, StatusAndChatReachAServer) {
  Environment environment = HomeOnly();
  EXPECT_EQ(std::get<StatusCommand>(Parse({"status"})).server.url, "http://127.0.0.1:8080");
  environment.server_url = "http://env/v1";
  environment.server_token = "sk-env";
  const auto status = std::get<StatusCommand>(Parse({"status", "--json"}, environment));
  EXPECT_EQ(status.server.url, "http://env/v1");
  EXPECT_EQ(status.server.token, "sk-env");
  EXPECT_TRUE(status.json);
  const auto chat = std::get<ChatCommand>(
      Parse({"chat", "--url", "http://flag", "--token-file", "f", "--model", "m", "--system", "s",
             "--temperature", "0.5", "--max-tokens", "9", "What", "is", "it?"},
            environment));
  EXPECT_EQ(chat.server.url, "http://flag");
  EXPECT_EQ(chat.server.token_file, "f");
  EXPECT_EQ(chat.chat.model, "m");
  EXPECT_EQ(chat.chat.system, "s");
  EXPECT_EQ(chat.chat.temperature, 0.5);
  EXPECT_EQ(chat.chat.tokens_max, 9);
  EXPECT_EQ(chat.message, "What is it?");
  EXPECT_EQ(std::get<Exit>(Parse({"chat", "--temperature", "3"})).code != 0, true);
}

TEST(CommandLineTest, HelpOfEachCommandIsAManual) {
  for (const char* command : {"serve", "token", "status", "chat"}) {
    const auto exit = std::get<Exit>(Parse({command, "--help"}));
    EXPECT_EQ(exit.code, 0);
    EXPECT_THAT(exit.out, HasSubstr("Examples:")) << command;
    for (size_t begin = 0; begin < exit.out.size();) {
      const size_t end = std::min(exit.out.find('\n', begin), exit.out.size());
      EXPECT_LE(end - begin, 112u) << exit.out.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

TEST(CommandLineTest, GrpcIsServedWhereItIsAskedForAndNotOpenly) {
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve"})).grpc, "");
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--grpc"})).grpc, "127.0.0.1:50051");
  const auto open = std::get<ServeOptions>(Parse({"serve", "--no-auth", "--grpc", "0.0.0.0:1"}));
  EXPECT_EQ(CheckServeOptions(open).code(), absl::StatusCode::kInvalidArgument);
  const auto token = std::get<ServeOptions>(Parse({"serve", "--grpc", "0.0.0.0:1"}));
  EXPECT_TRUE(CheckServeOptions(token).ok());
}

TEST(CommandLineTest, OllamaHasItsOwnAddressUnlessToldAnother) {
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve"})).ollama, "");
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--ollama"})).ollama, "127.0.0.1:11434");
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--ollama", "--no-auth"})).ollama,
            "127.0.0.1:11434");
  EXPECT_EQ(std::get<ServeOptions>(Parse({"serve", "--ollama", "0.0.0.0:1"})).ollama, "0.0.0.0:1");
}

TEST(CommandLineTest, AnOpenOllamaIsRefusedAsAnyOpenListener) {
  const auto open = std::get<ServeOptions>(Parse({"serve", "--no-auth", "--ollama", "0.0.0.0:1"}));
  EXPECT_THAT(std::string(CheckServeOptions(open).message()), HasSubstr("0.0.0.0:1"));
  const auto token = std::get<ServeOptions>(Parse({"serve", "--ollama", "0.0.0.0:1"}));
  EXPECT_TRUE(CheckServeOptions(token).ok());
}

}  // namespace
}  // namespace spillway
