#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace spillway {

// Takes the connections that come to one address, on a thread of its own ("accept").
//
// gRPC 1.51 could listen itself, but takes no connection any more after accept() has failed once:
// out of open files for a moment, a worker could be reached by no router until its end. Here the
// connection waits in the kernel until a file is free.
class ConnectionAcceptor {
 public:
  // Owns `connection`, a connected socket that doesn't block. Called on the acceptor's thread.
  using Take = std::function<void(int connection)>;

  // Listens at "unix:PATH", which is for this user alone and replaces a socket of that name, or at
  // "HOST:PORT"; port 0 takes a free one. UNAVAILABLE: it can't, and why.
  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Listen(const std::string& address);

  ~ConnectionAcceptor();  // Takes no more, and removes the socket's file.
  ConnectionAcceptor(const ConnectionAcceptor&) = delete;
  ConnectionAcceptor& operator=(const ConnectionAcceptor&) = delete;

  // Once. Connections that came before are taken now.
  void Start(Take take);

  const std::string& address() const { return address_; }  // with the port that was taken

 private:
  ConnectionAcceptor(int listener, int wake, std::string address);
  void Run();

  const int listener_;
  const int wake_;  // an eventfd: readable at the end
  const std::string address_;
  Take take_;
  std::thread thread_;
};

}  // namespace spillway
