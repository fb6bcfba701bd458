#include "server/auth/authenticator.h"

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/token.h"
#include "tests/support/manual_clock.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

TokenRecord Record(const std::string& token, const std::string& tenant) {
  return MakeTokenRecord(token, "name-" + token, tenant, absl::UnixEpoch());
}

TEST(TokenTest, TokensAreLongRandomAndHashedAsEveryoneHashes) {
  const std::string token = NewToken();
  EXPECT_EQ(token.size(), 3u + 64u);
  EXPECT_EQ(token.substr(0, 3), "sk-");
  EXPECT_NE(token, NewToken());
  // printf abc | sha256sum
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(TokenTest, RecordDoesNotHoldTheToken) {
  const std::string token = NewToken();
  const TokenRecord record = MakeTokenRecord(token, "laptop", "alice", absl::UnixEpoch());
  EXPECT_EQ(record.sha256_hex, Sha256Hex(token));
  EXPECT_EQ(record.id.substr(0, 4), "tok_");
  for (const std::string& field : {record.id, record.name, record.tenant, record.sha256_hex}) {
    EXPECT_EQ(field.find(token.substr(3)), std::string::npos);
  }
}

TEST(TokenTest, RecognisesHashes) {
  EXPECT_TRUE(IsSha256Hex(Sha256Hex("x")));
  EXPECT_TRUE(IsSha256Hex(std::string(64, 'A')));
  EXPECT_FALSE(IsSha256Hex(std::string(63, 'a')));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'g')));
}

TEST(TokenTest, HashesAreReadFromAFile) {
  const SocketDir folder;
  const std::string path = folder.Path("hashes");
  std::ofstream(path) << Sha256Hex("a") << "\n\n  " << Sha256Hex("b") << " \n";
  const auto hashes = ReadTokenHashes({Sha256Hex("c")}, path);
  ASSERT_TRUE(hashes.ok());
  EXPECT_EQ(*hashes, (std::vector<std::string>{Sha256Hex("c"), Sha256Hex("a"), Sha256Hex("b")}));
  std::ofstream(path) << Sha256Hex("a") << "\n\nnonsense";
  const absl::Status nonsense = ReadTokenHashes({}, path).status();
  EXPECT_EQ(nonsense.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(nonsense.message()), testing::HasSubstr(path + ", line 3: "));
  EXPECT_EQ(ReadTokenHashes({}, folder.Path("gone")).status().code(), absl::StatusCode::kNotFound);
}

TEST(AuthenticatorTest, FixedTokensCanBeReplaced) {
  ManualClock clock;
  Authenticator authenticator({Sha256Hex("old")}, clock);
  EXPECT_TRUE(authenticator.Check("old").has_value());
  authenticator.Update({Record("stored", "alice")});
  authenticator.SetFixed({Sha256Hex("new")});
  EXPECT_FALSE(authenticator.Check("old").has_value());
  EXPECT_TRUE(authenticator.Check("new").has_value());
  EXPECT_TRUE(authenticator.Check("stored").has_value());
}

TEST(AuthenticatorTest, FindsTheTenantOfAToken) {
  ManualClock clock;
  Authenticator authenticator({}, clock);
  EXPECT_TRUE(authenticator.empty());
  std::vector<TokenRecord> tokens;
  for (int i = 0; i < 100; ++i) {
    tokens.push_back(Record("token-" + std::to_string(i), "tenant-" + std::to_string(i)));
  }
  authenticator.Update(tokens);
  EXPECT_FALSE(authenticator.empty());
  for (int i = 0; i < 100; ++i) {
    const std::optional<Tenant> tenant = authenticator.Check("token-" + std::to_string(i));
    ASSERT_TRUE(tenant.has_value()) << i;
    EXPECT_EQ(tenant->name, "tenant-" + std::to_string(i));
    EXPECT_EQ(tenant->token_name, "name-token-" + std::to_string(i));
  }
  EXPECT_FALSE(authenticator.Check("token-100").has_value());
  EXPECT_FALSE(authenticator.Check("").has_value());
  EXPECT_FALSE(authenticator.Check(tokens[0].sha256_hex).has_value());
}

TEST(AuthenticatorTest, RevocationTakesEffectWithTheUpdate) {
  ManualClock clock;
  Authenticator authenticator({}, clock);
  TokenRecord record = Record("a", "alice");
  authenticator.Update({record});
  EXPECT_TRUE(authenticator.Check("a").has_value());
  record.revoked = absl::UnixEpoch();
  authenticator.Update({record});
  EXPECT_FALSE(authenticator.Check("a").has_value());
}

TEST(AuthenticatorTest, ATokenKeepsItsAccountWhenItChanges) {
  ManualClock clock;
  Authenticator authenticator({}, clock);
  TokenRecord token = MakeTokenRecord("secret", "laptop", "alice", absl::UnixEpoch());
  token.limits.requests_per_minute = 1;
  authenticator.Update({token});
  const auto account = authenticator.Check("secret")->account;
  QuotaReservation reservation;
  EXPECT_EQ(account->Reserve({}, reservation), std::nullopt);
  EXPECT_NE(account->Reserve({}, reservation), std::nullopt);
  token.limits.requests_per_minute = 2;
  authenticator.Update({token});
  EXPECT_EQ(authenticator.Check("secret")->account, account);
  EXPECT_EQ(account->Reserve({}, reservation), std::nullopt);
  EXPECT_NE(account->Reserve({}, reservation), std::nullopt);
}

TEST(AuthenticatorTest, BothSecretsOfARotatedTokenAreOneToken) {
  ManualClock clock;
  Authenticator authenticator({}, clock);
  TokenRecord token = MakeTokenRecord("new", "laptop", "alice", absl::UnixEpoch());
  token.previous_sha256_hex = Sha256Hex("old");
  token.previous_until = absl::FromUnixSeconds(50);
  authenticator.Update({token});
  EXPECT_EQ(authenticator.Check("old")->account, authenticator.Check("new")->account);
  EXPECT_EQ(authenticator.Check("old")->expires, absl::FromUnixSeconds(50));
  EXPECT_EQ(authenticator.Check("new")->expires, std::nullopt);
}

TEST(AuthenticatorTest, FixedHashesOutliveUpdates) {
  std::string upper = Sha256Hex("dev");
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  ManualClock clock;
  Authenticator authenticator({upper}, clock);
  authenticator.Update({Record("a", "alice")});
  const std::optional<Tenant> tenant = authenticator.Check("dev");
  ASSERT_TRUE(tenant.has_value());
  EXPECT_EQ(tenant->name, "default");
  EXPECT_FALSE(authenticator.empty());
}

}  // namespace
}  // namespace spillway
