#include "server/cli/usage_command.h"

#include <filesystem>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/token.h"
#include "server/cli/token_commands.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

class UsageCommandTest : public ::testing::Test {
 protected:
  UsageCommandTest() {
    std::string pattern = ::testing::TempDir() + "/usage_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    store_ = *OpenDataFolder(folder_);
    TokenRecord token = MakeTokenRecord("secret", "ci", "t", absl::UnixEpoch());
    token.id = "tok_1";
    EXPECT_TRUE(store_->AddToken(token).ok());
  }
  ~UsageCommandTest() override { std::filesystem::remove_all(folder_); }

  void Write(int64_t number, UsageKey key, UsageCounts counts) {
    key.minute += absl::ToUnixSeconds(kNow) / 60;
    ASSERT_TRUE(store_->AddUsage({"me", number, {{key, counts}}}).ok());
  }
  std::string Run(UsageCommand command) {
    const absl::StatusOr<std::string> text = RunUsage(command, *store_, kNow);
    return text.ok() ? *text : std::string(text.status().message());
  }

  const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);  // 2023-11-14 22:13
  std::string folder_;
  std::unique_ptr<Store> store_;
};

TEST_F(UsageCommandTest, SumsUpByWhatItIsAskedFor) {
  Write(1, {"tok_1", "big", "local", "", -1440}, {.requests = 1, .prompt_tokens = 10});
  Write(2, {"tok_1", "big", "bailian", "CNY", 0},
        {.requests = 2, .prompt_tokens = 20, .completion_tokens = 7, .cost_nano = 1'500'000'000});
  Write(3, {"", "small", "local", "", 0}, {.failures = 3});
  EXPECT_EQ(Run({.by = {"token", "service"}}),
            "TOKEN  SERVICE  REQUESTS  FAILED  PROMPT  CACHED  COMPLETION  COST  CURRENCY\n"
            "-      small           0       3       0       0           0     0         -\n"
            "ci     big             1       0      10       0           0     0         -\n"
            "ci     big             2       0      20       0           7  1.50       CNY\n");
  EXPECT_EQ(Run({.by = {"day"}, .since = "2023-11-14", .token = "ci", .csv = true}),
            "day,requests,failed,prompt,cached,completion,cost,currency\r\n"
            "2023-11-14,2,0,20,0,7,1.50,CNY\r\n");
  EXPECT_THAT(Run({.by = {"minute"}, .since = "2d"}), HasSubstr("2023-11-14T22:13Z"));
}

TEST_F(UsageCommandTest, ABatchThatWasWrittenIsNotWrittenAgain) {
  for (int i = 0; i < 3; ++i) Write(1, {"tok_1", "big", "local", "", 0}, {.requests = 1});
  EXPECT_EQ(Run({.by = {"token"}, .csv = true}),
            "token,requests,failed,prompt,cached,completion,cost,currency\r\n"
            "ci,1,0,0,0,0,0,-\r\n");
}

TEST_F(UsageCommandTest, MinutesAreForgottenAfterTwoDaysAndDaysAreNot) {
  Write(1, {"tok_1", "big", "local", "", -3000}, {.requests = 1});
  Write(2, {"tok_1", "big", "local", "", 0}, {.requests = 1});
  EXPECT_EQ(store_->ListUsage(0, /*minutes=*/true)->size(), 1u);
  EXPECT_EQ(store_->ListUsage(0, /*minutes=*/false)->size(), 2u);
}

TEST_F(UsageCommandTest, NamesCantBreakOutOfTheirField) {
  Write(1, {"=HYPERLINK(\"x\")", "a,b", "local", "", 0}, {.requests = 1});
  EXPECT_THAT(Run({.by = {"token", "service"}, .csv = true}),
              HasSubstr("\"'=HYPERLINK(\"\"x\"\")\",\"a,b\",1,"));
}

TEST_F(UsageCommandTest, SaysWhenThereIsNothingAndWhatATimeIs) {
  EXPECT_EQ(Run({.by = {"token"}}), "nothing was used since 2023-10-15\n");
  EXPECT_THAT(Run({.by = {"token"}, .since = "yesterday"}), HasSubstr("this is \"yesterday\""));
}

}  // namespace
}  // namespace spillway
