#include "server/http/http_listener.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "server/http/http_connection.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr int kListenBacklog = 1024;
constexpr int kAcceptsPerWake = 64;  // then other work of the thread has its turn
constexpr auto kAcceptRetry = std::chrono::milliseconds(100);  // out of descriptors
constexpr absl::Duration kFailureLogInterval = absl::Minutes(1);
constexpr std::string_view kRefusal =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n";

absl::StatusOr<tcp::endpoint> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "listen address \"", address, "\" is not HOST:PORT with a port of 0 to 65535"));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host == "localhost") host = "127.0.0.1";
  if (host.empty() || host == "*") host = "0.0.0.0";
  error_code error;
  const asio::ip::address ip = asio::ip::make_address(host, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", address,
                     "\": the host must be an IP address, \"localhost\" or \"*\""));
  }
  return tcp::endpoint(ip, static_cast<uint16_t>(port));
}

std::string FormatAddress(const tcp::endpoint& endpoint) {
  const std::string ip = endpoint.address().to_string();
  return endpoint.address().is_v6() ? absl::StrCat("[", ip, "]:", endpoint.port())
                                    : absl::StrCat(ip, ":", endpoint.port());
}

absl::Status BindError(const tcp::endpoint& endpoint, const error_code& error) {
  const std::string address = FormatAddress(endpoint);
  if (error == asio::error::address_in_use) {
    return absl::AlreadyExistsError(
        absl::StrCat(address,
                     " is in use: another server listens there; stop it or choose another "
                     "port with --listen"));
  }
  return absl::UnavailableError(absl::StrCat("can't listen on ", address, ": ", error.message()));
}

absl::Status Bind(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, bool share_port) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && share_port) acceptor.set_option(ReusePort(true), error);
  if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kListenBacklog, error);
  if (!error) acceptor.non_blocking(true, error);
  return error ? BindError(endpoint, error) : absl::OkStatus();
}

class TcpAcceptor final : public Acceptor {
 public:
  TcpAcceptor(asio::io_context& context, const HttpListener& listener, HttpThreadState& thread,
              ConnectionCount& connections)
      : context_(context),
        listener_(listener),
        thread_(thread),
        connections_(connections),
        socket_(context),
        retry_(context) {}

  absl::Status Open(tcp::endpoint endpoint) {
    RETURN_IF_ERROR(Bind(socket_, endpoint, /*share_port=*/true));
    error_code error;
    const tcp::endpoint bound = socket_.local_endpoint(error);
    if (error) return BindError(endpoint, error);
    bound_address_ = FormatAddress(bound);
    is_v6_ = bound.address().is_v6();
    traits_.token_required = listener_.token_required;
    traits_.ollama = listener_.ollama;
    traits_.loopback = bound.address().is_loopback();
    is_any_ = bound.address().is_unspecified();
    return absl::OkStatus();
  }

  void Start() override {
    socket_.async_wait(tcp::acceptor::wait_read, [this](error_code) {
      if (socket_.is_open()) AcceptSome();
    });
  }
  void Stop() override {
    error_code ignored;
    socket_.close(ignored);
    retry_.cancel();
  }
  const std::string& bound_address() const override { return bound_address_; }

 private:
  void AcceptSome() {
    for (int i = 0; i < kAcceptsPerWake; ++i) {
      if (AcceptOne()) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) break;
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return RetryLater(errno);
    }
    Start();
  }

  // Level-triggered waiting would come back at once, for a connection that can't be taken.
  void RetryLater(int error) {
    thread_.metrics.AcceptFailed();
    const bool exhausted =
        error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    const bool evicted = exhausted && EvictOldest();
    if (thread_.clock.Now() >= next_failure_log_) {
      next_failure_log_ = thread_.clock.Now() + kFailureLogInterval;
      LogWarning(absl::StrCat("can't accept a connection on ", bound_address_, ": ",
                              std::strerror(error), "; trying again",
                              evicted ? " with one closed that waited for a request" : ""));
    }
    retry_.expires_after(kAcceptRetry);
    retry_.async_wait([this](error_code) {
      if (socket_.is_open()) AcceptSome();
    });
  }

  // False with errno set when there was none to take.
  bool AcceptOne() {
    sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    const int descriptor = ::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&storage),
                                     &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return false;
    if (!connections_.TryAdd() && !(EvictOldest() && connections_.TryAdd())) {
      thread_.metrics.ConnectionRefused();
      [[maybe_unused]] const ssize_t sent =
          ::send(descriptor, kRefusal.data(), kRefusal.size(), MSG_NOSIGNAL);
      ::close(descriptor);
      return true;
    }
    tcp::endpoint peer;
    if (length <= peer.capacity()) {
      std::memcpy(peer.data(), &storage, length);
      peer.resize(length);
    }
    ServeConnection(context_, descriptor, is_v6_,
                    listener_.tls == nullptr ? nullptr : listener_.tls->context(),
                    {traits_, listener_.any_origin, peer.address().to_string(),
                     is_any_ ? LocalAddress(descriptor) : bound_address_},
                    thread_);
    return true;
  }

  // Empty where the connection has gone already.
  static std::string LocalAddress(int descriptor) {
    tcp::endpoint local;
    auto length = static_cast<socklen_t>(local.capacity());
    if (::getsockname(descriptor, local.data(), &length) != 0) return "";
    local.resize(length);
    return FormatAddress(local);
  }

  bool EvictOldest() {
    if (thread_.waiting.empty()) return false;
    thread_.metrics.ConnectionEvicted();
    thread_.waiting.front()->Cut();
    return true;
  }

  asio::io_context& context_;
  const HttpListener& listener_;
  HttpThreadState& thread_;
  ConnectionCount& connections_;
  tcp::acceptor socket_;
  asio::steady_timer retry_;
  std::string bound_address_;
  ListenerTraits traits_;
  bool is_v6_ = false;
  bool is_any_ = false;  // listens on all addresses of the machine
  absl::Time next_failure_log_ = absl::InfinitePast();
};

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> OpenAcceptor(asio::io_context& context,
                                                       const HttpListener& listener,
                                                       const std::string& address,
                                                       HttpThreadState& thread,
                                                       ConnectionCount& connections) {
  ASSIGN_OR_RETURN(const tcp::endpoint endpoint, ParseAddress(address));
  auto acceptor = std::make_unique<TcpAcceptor>(context, listener, thread, connections);
  RETURN_IF_ERROR(acceptor->Open(endpoint));
  return acceptor;
}

absl::Status CheckPortIsFree(asio::io_context& context, const std::string& address) {
  ASSIGN_OR_RETURN(const tcp::endpoint endpoint, ParseAddress(address));
  if (endpoint.port() == 0) return absl::OkStatus();
  // With SO_REUSEPORT a second server of this user would bind without an error and take half of the
  // connections. A bind without it finds a listener that is already there.
  tcp::acceptor probe(context);
  return Bind(probe, endpoint, /*share_port=*/false);
}

}  // namespace spillway
