#include "server/auth/sqlite_store.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/eas_signature.h"
#include "server/auth/token.h"
#include "tests/support/child_process.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

class SqliteStoreTest : public ::testing::Test {
 protected:
  SqliteStoreTest() {
    std::string pattern = ::testing::TempDir() + "/store_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~SqliteStoreTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/spillway.db"; }
  std::unique_ptr<Store> Open(absl::Duration lock_wait = absl::Seconds(2)) {
    auto store = OpenSqliteStore({path(), lock_wait});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  // Runs SQL beside the store, as another process would.
  void Sql(const char* sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  static TokenRecord Token(const std::string& name, int second = 0) {
    return MakeTokenRecord("secret-" + name, name, "tenant-" + name,
                           absl::FromUnixSeconds(1000 + second));
  }

  std::string folder_;
};

TEST_F(SqliteStoreTest, TokensSurviveARestart) {
  const TokenRecord a = Token("a", 1);
  const TokenRecord b = Token("b", 2);
  {
    auto store = Open();
    ASSERT_TRUE(store->AddToken(b).ok());
    ASSERT_TRUE(store->AddToken(a).ok());
  }
  const auto tokens = Open()->ListTokens();
  ASSERT_TRUE(tokens.ok());
  ASSERT_EQ(tokens->size(), 2u);
  EXPECT_EQ((*tokens)[0].id, a.id);
  EXPECT_EQ((*tokens)[0].name, "a");
  EXPECT_EQ((*tokens)[0].tenant, "tenant-a");
  EXPECT_EQ((*tokens)[0].sha256_hex, a.sha256_hex);
  EXPECT_EQ((*tokens)[0].created, a.created);
  EXPECT_FALSE((*tokens)[0].revoked.has_value());
  EXPECT_EQ((*tokens)[1].id, b.id);
}

TEST_F(SqliteStoreTest, NamesAreUniqueAmongLiveTokens) {
  auto store = Open();
  ASSERT_TRUE(store->AddToken(Token("a")).ok());
  TokenRecord second = MakeTokenRecord("other", "a", "t", absl::UnixEpoch());
  EXPECT_EQ(store->AddToken(second).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(store->RevokeToken("a", absl::UnixEpoch()).ok());
  EXPECT_TRUE(store->AddToken(second).ok());
}

TEST_F(SqliteStoreTest, RevokesByIdOrNameOnce) {
  auto store = Open();
  const TokenRecord a = Token("a");
  ASSERT_TRUE(store->AddToken(a).ok());
  ASSERT_TRUE(store->AddToken(Token("b")).ok());
  const absl::Time now = absl::FromUnixSeconds(5000);
  EXPECT_TRUE(store->RevokeToken(a.id, now).ok());
  EXPECT_EQ(store->RevokeToken(a.id, now).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store->RevokeToken("nobody", now).code(), absl::StatusCode::kNotFound);
  const auto tokens = store->ListTokens();
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ((*tokens)[0].revoked.has_value(), (*tokens)[0].name == "a");
  EXPECT_EQ((*tokens)[1].revoked.has_value(), (*tokens)[1].name == "a");
}

TEST_F(SqliteStoreTest, FilesAreForTheirOwnerOnly) {
  auto store = Open();
  ASSERT_TRUE(store->AddToken(Token("a")).ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status;
    ASSERT_EQ(::stat((path() + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteStoreTest, LockedStoreIsUnavailableAndUnchanged) {
  auto store = Open(/*lock_wait=*/absl::Milliseconds(1));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_EQ(store->AddToken(Token("a")).code(), absl::StatusCode::kUnavailable);
  // Readers don't wait for a writer in WAL mode.
  const auto tokens = store->ListTokens();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_TRUE(tokens->empty());
  sqlite3_close(other);
  EXPECT_TRUE(store->AddToken(Token("a")).ok());
}

TEST_F(SqliteStoreTest, TwoStoresOfOneFileSeeEachOther) {
  auto server = Open();
  auto command = Open();
  ASSERT_TRUE(command->AddToken(Token("a")).ok());
  const auto tokens = server->ListTokens();
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(tokens->size(), 1u);
}

TEST_F(SqliteStoreTest, ThreadsMayShareAStore) {
  auto store = Open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&store, i] {
      for (int j = 0; j < 5; ++j) {
        EXPECT_TRUE(store->AddToken(Token(std::to_string(i * 5 + j))).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->ListTokens()->size(), 20u);
}

TEST_F(SqliteStoreTest, NewerSchemaIsLeftAlone) {
  Open();
  Sql("UPDATE schema_version SET version = 99");
  const auto store = OpenSqliteStore({path()});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("version 99"));
}

TEST_F(SqliteStoreTest, FileThatIsNoStore) {
  std::FILE* file = std::fopen(path().c_str(), "w");
  for (int i = 0; i < 1000; ++i) std::fputs("this is not a database\n", file);
  std::fclose(file);
  EXPECT_EQ(OpenSqliteStore({path()}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OpenSqliteStore({folder_ + "/none/x.db"}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SqliteStoreTest, LimitsSurviveARestartAndCanBeChanged) {
  TokenRecord token = Token("a");
  token.limits = {.models = {"m1", "m2"},
                  .aliases = {{"gpt-4", "m1"}},
                  .requests_per_minute = 1,
                  .tokens_per_minute = 2,
                  .requests_per_day = 3,
                  .tokens_per_day = 4,
                  .concurrency = 5};
  token.networks = {"10.0.0.0/8"};
  token.expires = absl::FromUnixSeconds(7000);
  ASSERT_TRUE(Open()->AddToken(token).ok());
  auto store = Open();
  EXPECT_EQ(store->ListTokens()->at(0).limits, token.limits);
  EXPECT_EQ(store->ListTokens()->at(0).networks, token.networks);
  EXPECT_EQ(store->ListTokens()->at(0).expires, token.expires);
  token.limits.tokens_per_day = 0;
  token.expires.reset();
  ASSERT_TRUE(store->ChangeToken(token).ok());
  EXPECT_EQ(store->ListTokens()->at(0).limits, token.limits);
  EXPECT_EQ(store->ListTokens()->at(0).expires, std::nullopt);
  EXPECT_EQ(store->ListTokens()->at(0).sha256_hex, token.sha256_hex);
  ASSERT_TRUE(store->RevokeToken("a", absl::UnixEpoch()).ok());
  EXPECT_EQ(store->ChangeToken(token).code(), absl::StatusCode::kNotFound);
}

TEST_F(SqliteStoreTest, ARotatedTokenKeepsItsOldSecretForAWhile) {
  auto store = Open();
  const TokenRecord token = Token("a");
  ASSERT_TRUE(store->AddToken(token).ok());
  ASSERT_TRUE(
      store->RotateToken("a", Sha256Hex("new"), EasKey("new"), absl::FromUnixSeconds(9)).ok());
  const TokenRecord rotated = store->ListTokens()->at(0);
  EXPECT_EQ(rotated.sha256_hex, Sha256Hex("new"));
  EXPECT_EQ(rotated.previous_sha256_hex, token.sha256_hex);
  EXPECT_EQ(rotated.previous_until, absl::FromUnixSeconds(9));
  EXPECT_EQ(rotated.eas_key, "") << "it never signed";
  EXPECT_EQ(store->RotateToken("b", Sha256Hex("x"), "", absl::UnixEpoch()).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(SqliteStoreTest, ARotatedSignerSignsWithBothSecretsForAWhile) {
  auto store = Open();
  TokenRecord token = Token("a");
  token.eas_key = EasKey("old");
  ASSERT_TRUE(store->AddToken(token).ok());
  ASSERT_TRUE(
      store->RotateToken("a", Sha256Hex("new"), EasKey("new"), absl::FromUnixSeconds(9)).ok());
  const TokenRecord rotated = store->ListTokens()->at(0);
  EXPECT_EQ(rotated.eas_key, EasKey("new"));
  EXPECT_EQ(rotated.previous_eas_key, EasKey("old"));
}

// A second connection of this process must leave the first one's locks alone: else whoever closes
// the store in another process takes it for unused and deletes the log that we write to.
TEST_F(SqliteStoreTest, AnotherProcessThatLeavesTakesNothingAwayFromTwoConnections) {
  auto first = Open();
  auto second = Open();
  const std::string read = "import sqlite3; sqlite3.connect('" + path() +
                           "').execute('SELECT count(*) FROM tokens').fetchall()";
  ASSERT_EQ(ChildProcess("python3", {"-c", read}).Wait(), 0);
  ASSERT_TRUE(second->AddToken(Token("a")).ok());
  EXPECT_EQ(Open()->ListTokens()->size(), 1u);
}

// The first version had tokens without limits.
TEST_F(SqliteStoreTest, TakesOverAStoreOfTheFirstVersion) {
  Sql("CREATE TABLE schema_version (version INTEGER NOT NULL);"
      "INSERT INTO schema_version VALUES (1);"
      "CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL,"
      " sha256_hex TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL, revoked_ms INTEGER);"
      "INSERT INTO tokens VALUES ('tok_1', 'old', 't', 'ab', 1000, NULL);");
  EXPECT_EQ(Open()->ListTokens()->at(0).name, "old");
  const TokenRecord token = Open()->ListTokens()->at(0);
  EXPECT_EQ(token.limits, TokenLimits());
  EXPECT_EQ(token.expires, std::nullopt);
}

}  // namespace
}  // namespace spillway
