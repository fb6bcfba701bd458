#include "server/cli/token_commands.h"

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/token.h"

namespace spillway {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TokenCommandsTest : public ::testing::Test {
 protected:
  TokenCommandsTest() {
    std::string pattern = ::testing::TempDir() + "/token_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    store_ = *OpenDataFolder(folder_ + "/deep/data");
  }
  ~TokenCommandsTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::string> Run(TokenCommand::Action action, const std::string& name) {
    return RunTokenCommand({.action = action, .name = name, .tenant = "t", .data_folder = ""},
                           *store_, absl::FromUnixSeconds(1000));
  }

  std::string folder_;
  std::unique_ptr<Store> store_;
};

TEST_F(TokenCommandsTest, CreatesShowsOnceAndRevokes) {
  const absl::StatusOr<std::string> created = Run(TokenCommand::Action::kCreate, "laptop");
  ASSERT_TRUE(created.ok());
  const std::string token = created->substr(0, created->size() - 1);
  EXPECT_EQ(store_->ListTokens()->at(0).sha256_hex, Sha256Hex(token));
  const std::string list = *Run(TokenCommand::Action::kList, "");
  EXPECT_THAT(list, HasSubstr("laptop"));
  EXPECT_THAT(list, HasSubstr("live"));
  EXPECT_THAT(list, Not(HasSubstr(token)));
  EXPECT_THAT(list, Not(HasSubstr(Sha256Hex(token))));
  EXPECT_EQ(*Run(TokenCommand::Action::kRevoke, "laptop"), "revoked laptop\n");
  EXPECT_THAT(*Run(TokenCommand::Action::kList, ""), HasSubstr("revoked 1970"));
}

TEST_F(TokenCommandsTest, MistakesAreErrors) {
  EXPECT_THAT(*Run(TokenCommand::Action::kList, ""), HasSubstr("spillway token create"));
  EXPECT_EQ(Run(TokenCommand::Action::kCreate, "two words").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Run(TokenCommand::Action::kCreate, "").status().code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Run(TokenCommand::Action::kCreate, "a").ok());
  EXPECT_EQ(Run(TokenCommand::Action::kCreate, "a").status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Run(TokenCommand::Action::kRevoke, "b").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(TokenCommandsTest, LimitsAreSetShownAndChanged) {
  TokenCommand command = {.action = TokenCommand::Action::kCreate,
                          .name = "ci",
                          .tenant = "t",
                          .data_folder = "",
                          .change = {.models = {{"big"}},
                                     .aliases = {{"gpt-4=big"}},
                                     .networks = {{"10.0.0.0/8"}},
                                     .expires = "30d",
                                     .requests_per_minute = 60,
                                     .concurrency = 4}};
  const absl::Time now = absl::FromUnixSeconds(1000);
  ASSERT_TRUE(RunTokenCommand(command, *store_, now).ok());
  const TokenRecord token = store_->ListTokens()->at(0);
  EXPECT_EQ(token.limits.aliases.at("gpt-4"), "big");
  EXPECT_EQ(token.expires, now + absl::Hours(30 * 24));
  EXPECT_THAT(*Run(TokenCommand::Action::kShow, "ci"),
              AllOf(HasSubstr("gpt-4=big"), HasSubstr("requests per minute  60\n"),
                    HasSubstr("tokens per day       no limit\n"), HasSubstr("10.0.0.0/8")));
  command.action = TokenCommand::Action::kChange;
  command.change = {.models = {{"any"}}, .expires = "never", .requests_per_minute = 0};
  EXPECT_THAT(
      *RunTokenCommand(command, *store_, now),
      AllOf(HasSubstr("requests per minute  no limit\n"), HasSubstr("models               any\n"),
            HasSubstr("requests at once     4\n"), HasSubstr("state                live\n")));
  EXPECT_THAT(Run(TokenCommand::Action::kShow, "nobody").status().message(),
              HasSubstr("no token has the id or name \"nobody\""));
}

TEST_F(TokenCommandsTest, MistakesInLimitsAreErrorsAndChangeNothing) {
  ASSERT_TRUE(Run(TokenCommand::Action::kCreate, "ci").ok());
  for (const TokenChange& change :
       {TokenChange{.models = {{"two words"}}}, TokenChange{.models = {{"any", "big"}}},
        TokenChange{.aliases = {{"gpt-4"}}}, TokenChange{.aliases = {{"a=b", "a=c"}}},
        TokenChange{.networks = {{"10.0.0.1/8"}}}, TokenChange{.expires = "soon"},
        TokenChange{.expires = "-1h"}, TokenChange{.expires = "40000000h"},
        TokenChange{.models = std::vector<std::string>(300, "m")}}) {
    TokenCommand command = {.action = TokenCommand::Action::kChange,
                            .name = "ci",
                            .tenant = "",
                            .data_folder = "",
                            .change = change};
    EXPECT_EQ(RunTokenCommand(command, *store_, absl::UnixEpoch()).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(store_->ListTokens()->at(0).limits, TokenLimits());
}

TEST_F(TokenCommandsTest, BudgetsHaveACurrency) {
  ASSERT_TRUE(Run(TokenCommand::Action::kCreate, "ci").ok());
  const auto change = [&](const TokenChange& what) {
    const auto shown = RunTokenCommand({.action = TokenCommand::Action::kChange,
                                        .name = "ci",
                                        .tenant = "",
                                        .data_folder = "",
                                        .change = what},
                                       *store_, absl::UnixEpoch());
    return shown.ok() ? *shown : std::string(shown.status().message());
  };
  EXPECT_THAT(change({.budget_per_day = "2.5 CNY", .budget_per_month = "30 CNY"}),
              AllOf(HasSubstr("budget per day       2.50 CNY\n"),
                    HasSubstr("budget per month     30.00 CNY\n")));
  EXPECT_EQ(store_->ListTokens()->at(0).limits.budget_day_nano, 2'500'000'000);
  EXPECT_THAT(change({.budget_per_day = "1 USD"}), HasSubstr("the other is in CNY"));
  for (const char* wrong : {"5", "CNY", "0 CNY", "-1 CNY", "1 yuan", "1.0000000001 CNY", ""}) {
    EXPECT_THAT(change({.budget_per_day = wrong}), HasSubstr("such as \"2.50 CNY\"")) << wrong;
  }
  EXPECT_THAT(change({.budget_per_day = "none", .budget_per_month = "none"}),
              HasSubstr("budget per day       no limit\n"));
  EXPECT_THAT(change({.budget_per_day = "1 USD"}), HasSubstr("1.00 USD"));
}

TEST_F(TokenCommandsTest, ARotatedTokenHasANewSecret) {
  const std::string first = *Run(TokenCommand::Action::kCreate, "ci");
  const std::string second = *Run(TokenCommand::Action::kRotate, "ci");
  EXPECT_NE(first, second);
  const TokenRecord token = store_->ListTokens()->at(0);
  EXPECT_EQ(token.sha256_hex, Sha256Hex(second.substr(0, second.size() - 1)));
  EXPECT_EQ(token.previous_sha256_hex, Sha256Hex(first.substr(0, first.size() - 1)));
  EXPECT_EQ(token.previous_until, absl::FromUnixSeconds(1000) + absl::Hours(24));
  EXPECT_THAT(*Run(TokenCommand::Action::kShow, "ci"), HasSubstr("old secret"));
}

TEST_F(TokenCommandsTest, DataFolderIsForItsOwner) {
  struct stat status;
  ASSERT_EQ(::stat((folder_ + "/deep/data").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_EQ(OpenDataFolder("/proc/nope/x").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace spillway
