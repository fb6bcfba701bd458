#include "worker/worker_listener.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "grpc/support/log.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace spillway {
namespace {

// gRPC's own errors: by stdio a log that nobody reads would hold up its threads.
void LogForGrpc(gpr_log_func_args* line) { LogWarning(absl::StrCat("gRPC: ", line->message)); }

// Looks every few seconds whether the files have changed.
std::shared_ptr<grpc::ServerCredentials> CredentialsFor(const TlsFiles& tls,
                                                        const std::string& authority) {
  if (tls.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          tls.key, tls.certificate, authority, /*refresh_interval_sec=*/2));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace

absl::StatusOr<WorkerListener> ListenForRouters(const std::string& address, const TlsFiles& tls,
                                                const std::string& authority,
                                                grpc::Service& service) {
  WorkerListener listener;
  ASSIGN_OR_RETURN(listener.acceptor, ConnectionAcceptor::Listen(address));
  listener.address = listener.acceptor->address();
  gpr_set_log_function(LogForGrpc);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  // Routers ping every 10 s (router/worker_upstream.cc); gRPC's own limit is one in 5 minutes.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  const std::shared_ptr<grpc::experimental::ExternalConnectionAcceptor> connections =
      builder.experimental().AddExternalConnectionAcceptor(
          grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
          CredentialsFor(tls, authority));
  builder.RegisterService(&service);
  listener.server = builder.BuildAndStart();
  if (listener.server == nullptr) {
    return absl::UnavailableError(absl::StrCat("gRPC can't serve at ", address));
  }
  listener.acceptor->Start([connections](int connection) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection;
    connections->HandleNewConnection(&parameters);
  });
  return listener;
}

}  // namespace spillway
