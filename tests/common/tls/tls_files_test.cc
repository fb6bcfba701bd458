#include "common/tls/tls_files.h"

#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/socket_dir.h"
#include "tests/support/test_certificate.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// A good set of files; each test spoils one.
class TlsFilesTest : public ::testing::Test {
 protected:
  TlsFilesTest() {
    WriteTestCertificate(files_.certificate, files_.key);
    WriteTestCertificate(authority_, folder_.Path("authority_key.pem"));
  }

  static void Write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string Refusal() const {
    const absl::Status status = CheckTlsFiles(files_, authority_);
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }

  SocketDir folder_;
  TlsFiles files_ = {folder_.Path("cert.pem"), folder_.Path("key.pem")};
  std::string authority_ = folder_.Path("ca.pem");
};

TEST_F(TlsFilesTest, GoodFilesPass) {
  EXPECT_EQ(CheckTlsFiles(files_, authority_), absl::Status());
}

TEST_F(TlsFilesTest, SeveralRootsPassAndSoDoesTextAroundThem) {
  Write(authority_, "Ours:\n" + Read(authority_) + "and theirs:\n" + Read(files_.certificate));
  EXPECT_EQ(CheckTlsFiles(files_, authority_), absl::Status());
}

TEST_F(TlsFilesTest, ABadCertificateIsNamed) {
  Write(files_.certificate, "nonsense");
  EXPECT_THAT(Refusal(), HasSubstr("cert.pem holds no certificate that can be used"));
}

TEST_F(TlsFilesTest, ABadKeyIsNamed) {
  Write(files_.key, Read(files_.key).substr(0, 60));
  EXPECT_THAT(Refusal(), HasSubstr("key.pem holds no key that can be used"));
}

TEST_F(TlsFilesTest, TheKeyOfAnotherCertificateIsNamed) {
  files_.key = folder_.Path("authority_key.pem");
  EXPECT_THAT(Refusal(), HasSubstr("authority_key.pem is not the one of the certificate"));
}

TEST_F(TlsFilesTest, BadRootsAreNamed) {
  Write(authority_, "");
  EXPECT_THAT(Refusal(), HasSubstr("ca.pem holds no root certificate"));
  Write(authority_, Read(files_.key));
  EXPECT_THAT(Refusal(), HasSubstr("ca.pem holds no root certificate"));
}

TEST_F(TlsFilesTest, RootsThatAreCutOffAreNamed) {
  Write(authority_, Read(authority_) + Read(files_.certificate).substr(0, 200));
  EXPECT_THAT(Refusal(), HasSubstr("ca.pem holds a certificate, number 2, that can't be used"));
}

TEST_F(TlsFilesTest, AMissingFileIsNamed) {
  authority_ = folder_.Path("gone.pem");
  EXPECT_EQ(CheckTlsFiles(files_, authority_).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Refusal(), HasSubstr("can't read the TLS roots " + authority_));
}

}  // namespace
}  // namespace spillway
