#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/check.h"

namespace spillway {

// A blocking client that shows the bytes as they come. Every wait ends after ten seconds.
class SocketClient {
 public:
  // `address` is "127.0.0.1:PORT". `receive_buffer` bounds what the kernel takes for it. `socket`:
  // an IPv4 socket that it takes over instead of making one.
  explicit SocketClient(const std::string& address, int receive_buffer = 0, int socket = -1) {
    socket_ = socket >= 0 ? socket : ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(socket_ >= 0);
    if (receive_buffer > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    const size_t colon = address.rfind(':');
    sockaddr_in peer = {};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
    CHECK(::inet_pton(AF_INET, address.substr(0, colon).c_str(), &peer.sin_addr) == 1);
    CHECK(::connect(socket_, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)) == 0);
  }
  ~SocketClient() { Close(); }
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  // Reads until `marker` has come; what was read, up to and with it. Without it: all there was.
  std::string ReadUntil(std::string_view marker) {
    while (true) {
      if (const size_t at = buffer_.find(marker); at != std::string::npos) {
        return Take(at + marker.size());
      }
      if (!ReadSome()) return Take(buffer_.size());
    }
  }
  std::string ReadBytes(size_t count) {
    while (buffer_.size() < count && ReadSome()) {
    }
    return Take(std::min(count, buffer_.size()));
  }
  std::string ReadToEnd() {
    while (ReadSome()) {
    }
    return Take(buffer_.size());
  }
  // One answer with a Content-Length: head and body.
  std::string ReadResponse() {
    std::string head = ReadUntil("\r\n\r\n");
    const size_t at = head.find("Content-Length: ");
    if (at == std::string::npos) return head;
    return head + ReadBytes(static_cast<size_t>(std::atoi(head.c_str() + at + 16)));
  }

  int descriptor() const { return socket_; }
  bool was_reset() const { return reset_; }
  void Close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

 private:
  bool ReadSome() {
    pollfd waiting = {socket_, POLLIN, 0};
    if (::poll(&waiting, 1, 10'000) <= 0) return false;
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (count < 0 && errno == ECONNRESET) reset_ = true;
    if (count <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(count));
    return true;
  }
  std::string Take(size_t count) {
    std::string taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }

  int socket_ = -1;
  bool reset_ = false;
  std::string buffer_;
};

}  // namespace spillway
