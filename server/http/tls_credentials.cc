#include "server/http/tls_credentials.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

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

absl::StatusOr<TlsCredentials::Context> MakeContext() {
  TlsCredentials::Context context(::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free);
  if (context == nullptr || ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      ::SSL_CTX_set_cipher_list(context.get(), kCiphers) != 1) {
    return absl::UnavailableError(absl::StrCat("OpenSSL can't speak TLS: ", LastOpenSslError()));
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
  return context;
}

absl::Time TimeOf(const ASN1_TIME* time) {
  std::tm parts = {};
  if (time == nullptr || ::ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfiniteFuture();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

absl::StatusOr<TlsCredentials::Context> ReadFiles(const TlsFiles& files) {
  ASSIGN_OR_RETURN(TlsCredentials::Context context, MakeContext());
  RETURN_IF_ERROR(UseTlsFiles(context.get(), files));
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
