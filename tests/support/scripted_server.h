#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/check.h"

namespace spillway {

// A server that does with each request what a test says, byte by byte: a thread for each
// connection, plain sockets, a port of this machine.
class ScriptedServer {
 public:
  // One connection, after a request has been read whole.
  class Peer {
   public:
    Peer(int descriptor, int connection_in, int request_in, const std::atomic<bool>& stopped)
        : connection(connection_in),
          request(request_in),
          descriptor_(descriptor),
          stopped_(stopped) {}

    void Send(std::string_view bytes) const {
      while (!bytes.empty()) {
        const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes.remove_prefix(static_cast<size_t>(sent));
      }
    }
    // Until the other side closes, or the server is stopped. True: it closed.
    bool AwaitClose() const {
      while (!stopped_) {
        pollfd waiting = {descriptor_, POLLIN, 0};
        char byte;
        if (::poll(&waiting, 1, 5) > 0 && ::recv(descriptor_, &byte, 1, 0) <= 0) return true;
      }
      return false;
    }
    void Reset() const {
      const linger now = {1, 0};
      ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    int descriptor() const { return descriptor_; }

    const int connection;  // from 0, in the order of their arrival
    const int request;     // from 0, of this connection
    std::string text;      // the request, head and body

   private:
    const int descriptor_;
    const std::atomic<bool>& stopped_;
  };
  // True: the connection stays open for another request.
  using Script = std::function<bool(const Peer& peer)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(::listen(listener_, 64) == 0);
    socklen_t length = sizeof(address);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~ScriptedServer() {
    stopped_ = true;
    acceptor_.join();
    for (std::thread& each : connections_) each.join();
    ::close(listener_);
  }

  int port() const { return port_; }
  int accepted() const { return accepted_; }

 private:
  void Accept() {
    while (!stopped_) {
      pollfd waiting = {listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 5) <= 0) continue;
      const int descriptor = ::accept(listener_, nullptr, nullptr);
      const int connection = accepted_++;
      connections_.emplace_back([this, descriptor, connection] {
        for (int request = 0; Serve(descriptor, connection, request); ++request) {
        }
        ::close(descriptor);
      });
    }
  }

  bool Serve(int descriptor, int connection, int request) {
    Peer peer(descriptor, connection, request, stopped_);
    return ReadRequest(descriptor, peer.text) && script_(peer);
  }

  bool ReadRequest(int descriptor, std::string& text) {
    while (!stopped_) {
      const size_t head = text.find("\r\n\r\n");
      if (head != std::string::npos) {
        const size_t length = text.find("Content-Length: ");
        const int body = length == std::string::npos ? 0 : std::atoi(text.c_str() + length + 16);
        if (text.size() >= head + 4 + static_cast<size_t>(body)) return true;
      }
      pollfd waiting = {descriptor, POLLIN, 0};
      if (::poll(&waiting, 1, 5) <= 0) continue;
      char bytes[16384];
      const ssize_t count = ::recv(descriptor, bytes, sizeof(bytes), 0);
      if (count <= 0) return false;
      text.append(bytes, static_cast<size_t>(count));
    }
    return false;
  }

  const Script script_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopped_ = false;
  std::atomic<int> accepted_ = 0;
  std::vector<std::thread> connections_;  // the acceptor's, then the destructor's
  std::thread acceptor_;
};

}  // namespace spillway
