#include "common/tls/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

absl::Status CheckReadable(const std::string& path, std::string_view what) {
  if (::access(path.c_str(), R_OK) == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("can't read the TLS ", std::string(what), " ", path, ": ",
                                          std::strerror(errno)));
}

// A key with a passphrase can't be read without a person; without this OpenSSL would ask one.
int NoPassphrase(char*, int, int, void*) { return -1; }

bool IsMismatch(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_X509 && (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
                                               ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH);
}

// Reads all of its certificates: a file that is cut off in the second is no good, either.
absl::Status CheckAuthority(const std::string& path) {
  RETURN_IF_ERROR(CheckReadable(path, "roots"));
  const std::unique_ptr<BIO, decltype(&::BIO_free)> file(::BIO_new_file(path.c_str(), "r"),
                                                         ::BIO_free);
  int count = 0;
  ::ERR_clear_error();
  while (file != nullptr) {
    const std::unique_ptr<X509, decltype(&::X509_free)> root(
        ::PEM_read_bio_X509_AUX(file.get(), nullptr, NoPassphrase, nullptr), ::X509_free);
    if (root == nullptr) break;
    ++count;
  }
  const unsigned long code = ::ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  const std::string why = LastOpenSslError();
  if (count > 0 && at_end) return absl::OkStatus();
  const std::string found =
      count == 0 ? "no root certificate that can be used"
                 : absl::StrCat("a certificate, number ", count + 1, ", that can't be used");
  return absl::InvalidArgumentError(
      absl::StrCat(path, " holds ", found, " (", why,
                   "). It must be PEM, each certificate beginning with "
                   "-----BEGIN CERTIFICATE-----"));
}

}  // namespace

std::string LastOpenSslError() {
  const unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

absl::Status UseTlsFiles(ssl_ctx_st* context, const TlsFiles& files) {
  RETURN_IF_ERROR(CheckReadable(files.certificate, "certificate"));
  RETURN_IF_ERROR(CheckReadable(files.key, "key"));
  ::SSL_CTX_set_default_passwd_cb(context, NoPassphrase);
  ::ERR_clear_error();
  if (::SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        files.certificate, " holds no certificate that can be used (", LastOpenSslError(),
        "). It must be PEM, beginning with -----BEGIN CERTIFICATE-----, its owner's own first"));
  }
  if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (IsMismatch(::ERR_peek_last_error())) {
      ::ERR_clear_error();
      return absl::InvalidArgumentError(absl::StrCat(
          "the key ", files.key, " is not the one of the certificate ", files.certificate));
    }
    return absl::InvalidArgumentError(
        absl::StrCat(files.key, " holds no key that can be used (", LastOpenSslError(),
                     "). It must be PEM, without a passphrase: openssl pkey -in FILE -out NEW "
                     "takes one off"));
  }
  return absl::OkStatus();
}

absl::Status CheckTlsFiles(const TlsFiles& files, const std::string& authority) {
  const std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context(::SSL_CTX_new(::TLS_method()),
                                                                    ::SSL_CTX_free);
  if (context == nullptr) {
    return absl::UnavailableError(absl::StrCat("OpenSSL can't speak TLS: ", LastOpenSslError()));
  }
  RETURN_IF_ERROR(UseTlsFiles(context.get(), files));
  return CheckAuthority(authority);
}

}  // namespace spillway
