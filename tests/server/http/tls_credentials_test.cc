#include "server/http/tls_credentials.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/socket_dir.h"
#include "tests/support/test_certificate.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

class TlsCredentialsTest : public ::testing::Test {
 protected:
  TlsCredentialsTest() { WriteTestCertificate(files_.certificate, files_.key); }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  absl::Status LoadStatus() { return TlsCredentials::Load(files_).status(); }

  SocketDir folder_;
  TlsFiles files_ = {folder_.Path("cert.pem"), folder_.Path("key.pem")};
};

TEST_F(TlsCredentialsTest, LoadsAPairAndKnowsItsEnd) {
  const auto credentials = TlsCredentials::Load(files_);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_NE((*credentials)->context(), nullptr);
  EXPECT_LT((*credentials)->expires(), absl::InfiniteFuture());
  EXPECT_GT((*credentials)->expires(), absl::FromUnixSeconds(1'700'000'000));
}

TEST_F(TlsCredentialsTest, MistakesAreNamed) {
  const std::string good_key = files_.key;
  files_.key = folder_.Path("gone.pem");
  EXPECT_EQ(LoadStatus().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LoadStatus().message()), HasSubstr("can't read the TLS key"));
  files_.key = folder_.Path("other.pem");
  WriteTestCertificate(folder_.Path("other_cert.pem"), files_.key);
  EXPECT_THAT(std::string(LoadStatus().message()), HasSubstr("is not the one of the certificate"));
  Write(files_.key, "-----BEGIN PRIVATE KEY-----\nnonsense\n");
  EXPECT_THAT(std::string(LoadStatus().message()), HasSubstr("other.pem holds no key"));
  files_.key = good_key;
  Write(files_.certificate, "");
  EXPECT_EQ(LoadStatus().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(LoadStatus().message()), HasSubstr("cert.pem holds no certificate"));
}

TEST_F(TlsCredentialsTest, ChangeIsNoticedOnceItStandsStill) {
  auto credentials = TlsCredentials::Load(files_).value();
  EXPECT_FALSE(credentials->HaveChanged());
  WriteTestCertificate(folder_.Path("new_cert.pem"), folder_.Path("new_key.pem"));
  std::filesystem::rename(folder_.Path("new_cert.pem"), files_.certificate);
  EXPECT_FALSE(credentials->HaveChanged());  // the key may follow
  std::filesystem::rename(folder_.Path("new_key.pem"), files_.key);
  EXPECT_FALSE(credentials->HaveChanged());
  EXPECT_TRUE(credentials->HaveChanged());
  const TlsCredentials::Context before = credentials->context();
  EXPECT_TRUE(credentials->Reload().ok());
  EXPECT_NE(credentials->context(), before);
  EXPECT_FALSE(credentials->HaveChanged());
}

TEST_F(TlsCredentialsTest, BadReloadChangesNothingAndIsNotTriedAgain) {
  auto credentials = TlsCredentials::Load(files_).value();
  const TlsCredentials::Context before = credentials->context();
  const absl::Time expires = credentials->expires();
  Write(files_.key, "nonsense");
  EXPECT_FALSE(credentials->HaveChanged());
  EXPECT_TRUE(credentials->HaveChanged());
  EXPECT_EQ(credentials->Reload().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(credentials->context(), before);
  EXPECT_EQ(credentials->expires(), expires);
  EXPECT_FALSE(credentials->HaveChanged());
  EXPECT_FALSE(credentials->HaveChanged());
  std::filesystem::remove(files_.key);
  EXPECT_FALSE(credentials->HaveChanged());
  EXPECT_TRUE(credentials->HaveChanged());
}

}  // namespace
}  // namespace spillway
