#include "router/worker_credentials.h"

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace spillway {
namespace {

constexpr unsigned int kRefreshSeconds = 2;

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> MakeWorkerCredentials(const WorkerTlsFiles& files) {
  if (files.certificate.empty()) return nullptr;
  // Since 1.51 the default verifier compares the host's name; experimental is only the API's name.
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          files.key, files.certificate, files.authority, kRefreshSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace spillway
