#include "server/http/tls_credentials.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

// Of TLS 1.2: Mozilla's intermediate list without DHE. Those of 1.3 are all good.
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

// Why OpenSSL's last call failed; empties its queue of errors.
std::string LastError() {
  const unsigned long code = ::ERR_peek_last_error();
  ::ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

absl::Status CheckReadable(const std::string& path, std::string_view what) {
  if (::access(path.c_str(), R_OK) == 0) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("can't read the TLS ", std::string(what), " ", path, ": ",
                                          std::strerror(errno)));
}

// Takes HTTP/1.1 of what the client offers; one that wants only HTTP/2 is told so by an alert.
int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* offered, unsigned int offered_length, void*) {
  static constexpr unsigned char kSpoken[] = "\x08http/1.1\x08http/1.0";
  unsigned char* selected = nullptr;
  if (::SSL_select_next_proto(&selected, out_length, kSpoken, sizeof(kSpoken) - 1, offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

// A key with a passphrase can't be read without a person; without this OpenSSL would ask one.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<TlsCredentials::Context> MakeContext() {
  TlsCredentials::Context context(::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free);
  if (context == nullptr || ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      ::SSL_CTX_set_cipher_list(context.get(), kCiphers) != 1) {
    return absl::UnavailableError(absl::StrCat("OpenSSL can't speak TLS: ", LastError()));
  }
  // The end of a request's body is told by its framing, so the end of the connection needs no
  // close_notify to be believed.
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // An idle connection holds no buffers of 16 KiB; a write that was blocked may come back from
  // another address.
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ::SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_alpn_select_cb(context.get(), SelectProtocol, nullptr);
  ::SSL_CTX_set_default_passwd_cb(context.get(), NoPassphrase);
  return context;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  if (time == nullptr || ::ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfiniteFuture();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

absl::StatusOr<TlsCredentials::Context> ReadFiles(const TlsFiles& files) {
  RETURN_IF_ERROR(CheckReadable(files.certificate, "certificate"));
  RETURN_IF_ERROR(CheckReadable(files.key, "key"));
  ASSIGN_OR_RETURN(TlsCredentials::Context context, MakeContext());
  ::ERR_clear_error();
  if (::SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        files.certificate, " holds no certificate that can be used (", LastError(),
        "). It must be PEM, beginning with -----BEGIN CERTIFICATE-----, the server's own first"));
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long code = ::ERR_peek_last_error();
    const bool mismatch =
        ERR_GET_LIB(code) == ERR_LIB_X509 && (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
                                              ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH);
    if (mismatch) {
      ::ERR_clear_error();
      return absl::InvalidArgumentError(absl::StrCat(
          "the key ", files.key, " is not the one of the certificate ", files.certificate));
    }
    return absl::InvalidArgumentError(
        absl::StrCat(files.key, " holds no key that can be used (", LastError(),
                     "). It must be PEM, without a passphrase: openssl pkey -in FILE -out NEW "
                     "takes one off"));
  }
  return context;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsCredentials>> TlsCredentials::Load(TlsFiles files) {
  std::unique_ptr<TlsCredentials> credentials(new TlsCredentials(std::move(files)));
  RETURN_IF_ERROR(credentials->Reload());
  return credentials;
}

TlsCredentials::Context TlsCredentials::context() const {
  MutexLock lock(mutex_);
  return context_;
}

absl::Time TlsCredentials::expires() const {
  MutexLock lock(mutex_);
  return expires_;
}

absl::Status TlsCredentials::Reload() {
  const Stamps stamps = StampsNow();  // before they are read: what changes meanwhile is seen later
  absl::StatusOr<Context> context = ReadFiles(files_);
  MutexLock lock(mutex_);
  read_ = stamps;
  last_seen_ = stamps;
  RETURN_IF_ERROR(context.status());
  expires_ = TimeOf(::X509_get0_notAfter(::SSL_CTX_get0_certificate(context->get())));
  context_ = *std::move(context);
  return absl::OkStatus();
}

bool TlsCredentials::HaveChanged() {
  const Stamps now = StampsNow();
  MutexLock lock(mutex_);
  const bool still = now == std::exchange(last_seen_, now);
  return still && !(now == read_);
}

}  // namespace spillway
