#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/tls/tls_files.h"
#include "worker/connection_acceptor.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace spillway {

struct WorkerListener {
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<ConnectionAcceptor> acceptor;  // gives the server its connections
  std::string address;                           // with the port that was taken
};

// Serves `service`, which outlives the server, and grpc.health.v1 at "unix:PATH" (for this user
// alone) or "HOST:PORT"; port 0 takes a free one. With a certificate in `tls` it answers only those
// that show one of `authority` (a PEM file); files that change are taken up within seconds.
// UNAVAILABLE: it can't listen there.
absl::StatusOr<WorkerListener> ListenForRouters(const std::string& address, const TlsFiles& tls,
                                                const std::string& authority,
                                                grpc::Service& service);

}  // namespace spillway
