#include "worker/connection_acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

constexpr int kListenBacklog = 1024;
constexpr int kRetryMs = 100;  // after accept() failed
constexpr std::string_view kUnix = "unix:";

absl::Status CantListen(const std::string& address, std::string_view why) {
  return absl::UnavailableError(absl::StrCat("can't listen on ", address, ": ", std::string(why)));
}

// A listening socket at one resolved address; -1 with errno set when there can be none.
int ListenAt(const sockaddr* at, socklen_t length) {
  const int listener = ::socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) return -1;
  const int on = 1;
  if (at->sa_family != AF_UNIX) {
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // Accepted sockets inherit it.
    ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  if (::bind(listener, at, length) == 0 && ::listen(listener, kListenBacklog) == 0) {
    return listener;
  }
  const int error = errno;
  ::close(listener);
  errno = error;
  return -1;
}

absl::StatusOr<int> ListenAtPath(const std::string& address, std::string path) {
  if (path.starts_with("//")) path.erase(0, 2);  // unix:///absolute/path
  sockaddr_un at = {};
  at.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(at.sun_path)) {
    return CantListen(address, absl::StrCat("the path has ", path.size(), " bytes, 1 to ",
                                            sizeof(at.sun_path) - 1, " can be"));
  }
  std::memcpy(at.sun_path, path.data(), path.size());
  struct stat old = {};
  if (::lstat(path.c_str(), &old) == 0 && S_ISSOCK(old.st_mode)) ::unlink(path.c_str());
  ::umask(0077);  // The socket is for this user alone.
  const int listener = ListenAt(reinterpret_cast<const sockaddr*>(&at), sizeof(at));
  if (listener < 0) return CantListen(address, std::strerror(errno));
  return listener;
}

absl::StatusOr<int> ListenAtHost(const std::string& address, std::string host,
                                 const std::string& port) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return CantListen(address, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, ::freeaddrinfo);
  const int listener = ListenAt(all->ai_addr, all->ai_addrlen);
  if (listener < 0) return CantListen(address, std::strerror(errno));
  return listener;
}

// Of a TCP socket.
int PortOf(int listener) {
  sockaddr_storage at = {};
  socklen_t length = sizeof(at);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &length);
  const in_port_t port = at.ss_family == AF_INET6
                             ? reinterpret_cast<const sockaddr_in6*>(&at)->sin6_port
                             : reinterpret_cast<const sockaddr_in*>(&at)->sin_port;
  return ntohs(port);
}

// Waits until one of them is readable, or `timeout_ms` has passed. False: `wake` is.
bool WaitFor(int wake, int other, int timeout_ms) {
  pollfd files[] = {{.fd = wake, .events = POLLIN}, {.fd = other, .events = POLLIN}};
  ::poll(files, 2, timeout_ms);
  return files[0].revents == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Listen(
    const std::string& address) {
  std::string bound = address;
  int listener = -1;
  if (address.starts_with(kUnix)) {
    ASSIGN_OR_RETURN(listener, ListenAtPath(address, address.substr(kUnix.size())));
  } else {
    const size_t colon = address.rfind(':');
    if (colon == std::string::npos) {
      return CantListen(address, "it is neither unix:PATH nor HOST:PORT");
    }
    ASSIGN_OR_RETURN(listener,
                     ListenAtHost(address, address.substr(0, colon), address.substr(colon + 1)));
    bound = absl::StrCat(address.substr(0, colon), ":", PortOf(listener));
  }
  const int wake = ::eventfd(0, EFD_CLOEXEC);
  if (wake < 0) {
    ::close(listener);
    return CantListen(address, std::strerror(errno));
  }
  return std::unique_ptr<ConnectionAcceptor>(
      new ConnectionAcceptor(listener, wake, std::move(bound)));
}

ConnectionAcceptor::ConnectionAcceptor(int listener, int wake, std::string address)
    : listener_(listener), wake_(wake), address_(std::move(address)) {}

ConnectionAcceptor::~ConnectionAcceptor() {
  const uint64_t one = 1;
  static_cast<void>(::write(wake_, &one, sizeof(one)) == sizeof(one));
  if (thread_.joinable()) thread_.join();
  ::close(listener_);
  ::close(wake_);
  if (address_.starts_with(kUnix)) ::unlink(address_.c_str() + kUnix.size());
}

void ConnectionAcceptor::Start(Take take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Run(); });
}

void ConnectionAcceptor::Run() {
  bool failing = false;
  while (WaitFor(wake_, listener_, /*timeout_ms=*/-1)) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection >= 0) {
      failing = false;
      take_(connection);
      continue;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
    if (!std::exchange(failing, true)) {
      LogWarning(absl::StrCat("can't accept a connection on ", address_, ": ", std::strerror(errno),
                              "; trying again"));
    }
    // It is still there, so a wait for it would end at once.
    WaitFor(wake_, /*other=*/-1, kRetryMs);
  }
}

}  // namespace spillway
