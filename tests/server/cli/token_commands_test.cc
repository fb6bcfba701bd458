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

TEST_F(TokenCommandsTest, DataFolderIsForItsOwner) {
  struct stat status;
  ASSERT_EQ(::stat((folder_ + "/deep/data").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  EXPECT_EQ(OpenDataFolder("/proc/nope/x").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace spillway
