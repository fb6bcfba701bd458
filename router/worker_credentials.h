#pragma once

#include <memory>
#include <string>

namespace grpc {
class ChannelCredentials;
}

namespace spillway {

// PEM files of the TLS between a router and workers on other machines, on which each side shows the
// other its certificate. All empty: no TLS.
struct WorkerTlsFiles {
  std::string certificate;  // the router's own first, then those between it and a root
  std::string key;          // without a passphrase
  std::string authority;    // the roots that workers' certificates must come from
};

// How to talk to workers at TCP addresses; null without `files`: in the clear. A worker's
// certificate must be for the host that its address names. gRPC looks every few seconds whether the
// files have changed; connections that are open keep what they began with. With files that can't be
// read no connection comes about.
std::shared_ptr<grpc::ChannelCredentials> MakeWorkerCredentials(const WorkerTlsFiles& files);

}  // namespace spillway
