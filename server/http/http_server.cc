#include "server/http/http_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "server/http/http_connection.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kListenBacklog = 1024;
constexpr int kAcceptsPerWake = 64;  // then other work of the thread has its turn
constexpr auto kAcceptRetry = std::chrono::milliseconds(100);  // out of descriptors

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

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerOptions options, const Clock& clock, MetricRegistry& metrics)
      : options_(std::move(options)), clock_(clock) {
    CHECK(options_.threads > 0);
    for (int32_t i = 0; i < options_.threads; ++i) {
      loops_.push_back(std::make_unique<Loop>(options_.limits, clock, metrics,
                                              options_.id_seed + static_cast<uint64_t>(i)));
      loops_.back()->state.connection_closed = [this] { ConnectionClosed(); };
    }
  }

  ~Impl() {
    Stop();
    // Connections that never got to run end here, while the count is still there.
    loops_.clear();
  }

  std::function<void(std::function<void()>)> Poster(int32_t thread) {
    asio::io_context& context = LoopOf(thread).context;
    return [&context](std::function<void()> function) { asio::post(context, std::move(function)); };
  }

  void SetHandler(int32_t thread, HttpHandler& handler) { LoopOf(thread).state.handler = &handler; }

  void RunEvery(int32_t thread, absl::Duration interval, std::function<void()> function) {
    Loop& loop = LoopOf(thread);
    loop.timers.push_back(std::make_unique<asio::steady_timer>(loop.context));
    asio::co_spawn(loop.context,
                   Repeat(*loop.timers.back(), absl::ToChronoNanoseconds(interval),
                          std::move(function), loop.stopping),
                   asio::detached);
  }

  absl::Status Start() {
    for (const HttpListener& listener : options_.listeners) {
      if (absl::Status status = BindListener(listener); !status.ok()) {
        for (auto& loop : loops_) loop->acceptors.clear();
        bound_.clear();
        return status;
      }
    }
    for (auto& loop : loops_) {
      CHECK(loop->state.handler != nullptr);
      for (auto& acceptor : loop->acceptors) {
        asio::co_spawn(loop->context, AcceptLoop(*loop, *acceptor), asio::detached);
      }
      loop->thread = std::thread([&context = loop->context] { context.run(); });
    }
    return absl::OkStatus();
  }

  const std::vector<std::string>& bound() const { return bound_; }
  int32_t thread_count() const { return options_.threads; }

  void StopAccepting() {
    for (auto& loop : loops_) {
      asio::post(loop->context, [&loop = *loop] { loop.StopAccepting(); });
    }
  }

  bool WaitUntilIdle(absl::Duration timeout) EXCLUDES(mutex_) {
    // A loop, so that a wake without cause isn't taken for the end; the wait itself keeps the time.
    const absl::Time deadline = clock_.Now() + timeout;
    MutexLock lock(mutex_);
    while (open_ > 0) {
      const absl::Duration left = deadline - clock_.Now();
      if (left <= absl::ZeroDuration()) return false;
      closed_.WaitFor(mutex_, left);
    }
    return true;
  }

  void Stop() {
    for (auto& loop : loops_) {
      if (!loop->thread.joinable()) continue;
      asio::post(loop->context, [&loop = *loop] { loop.StopEverything(); });
    }
    for (auto& loop : loops_) {
      if (loop->thread.joinable()) loop->thread.join();
    }
  }

 private:
  struct Acceptor {
    Acceptor(asio::io_context& context, const HttpListener& listener_in)
        : listener(listener_in), socket(context), retry(context) {}
    const HttpListener& listener;
    ListenerTraits traits;
    tcp::acceptor socket;
    asio::steady_timer retry;
    bool v6 = false;
  };

  // One thread and what belongs to it.
  struct Loop {
    Loop(const HttpLimits& limits, const Clock& clock, MetricRegistry& metrics, uint64_t id_seed)
        : context(1),
          work(asio::make_work_guard(context)),
          state(limits, clock, metrics, id_seed) {}

    void StopAccepting() {
      state.draining = true;
      for (auto& acceptor : acceptors) {
        error_code ignored;
        acceptor->socket.close(ignored);
        acceptor->retry.cancel();
      }
      for (HttpConnection* connection : state.connections) connection->Drain();
    }

    void StopEverything() {
      StopAccepting();
      stopping = true;
      for (auto& timer : timers) timer->cancel();
      for (HttpConnection* connection : state.connections) connection->Cut();
      work.reset();
    }

    asio::io_context context;
    asio::executor_work_guard<asio::io_context::executor_type> work;
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    std::vector<std::unique_ptr<asio::steady_timer>> timers;
    HttpThreadState state;
    bool stopping = false;
    std::thread thread;
  };

  Loop& LoopOf(int32_t thread) {
    CHECK(thread >= 0 && thread < options_.threads);
    return *loops_[static_cast<size_t>(thread)];
  }

  // One acceptor per thread on one port; the kernel spreads the connections.
  absl::Status BindListener(const HttpListener& listener) {
    ASSIGN_OR_RETURN(tcp::endpoint endpoint, ParseAddress(listener.address));
    if (endpoint.port() != 0) {
      // With SO_REUSEPORT a second server of this user would bind without an error and take half
      // of the connections. A bind without it finds a listener that is already there.
      tcp::acceptor probe(loops_.front()->context);
      RETURN_IF_ERROR(Bind(probe, endpoint, /*share_port=*/false));
    }
    for (auto& loop : loops_) {
      auto acceptor = std::make_unique<Acceptor>(loop->context, listener);
      RETURN_IF_ERROR(Bind(acceptor->socket, endpoint, /*share_port=*/true));
      error_code error;
      endpoint = acceptor->socket.local_endpoint(error);
      if (error) return BindError(endpoint, error);
      acceptor->traits.token_required = listener.token_required;
      acceptor->traits.loopback = endpoint.address().is_loopback();
      acceptor->v6 = endpoint.address().is_v6();
      loop->acceptors.push_back(std::move(acceptor));
    }
    bound_.push_back(FormatAddress(endpoint));
    return absl::OkStatus();
  }

  static asio::awaitable<void> Repeat(asio::steady_timer& timer, std::chrono::nanoseconds interval,
                                      std::function<void()> function, const bool& stopping) {
    while (!stopping) {
      timer.expires_after(interval);
      co_await timer.async_wait(kAwait);
      if (!stopping) function();
    }
  }

  asio::awaitable<void> AcceptLoop(Loop& loop, Acceptor& acceptor) {
    while (acceptor.socket.is_open()) {
      const auto [error] = co_await acceptor.socket.async_wait(tcp::acceptor::wait_read, kAwait);
      if (error) continue;
      for (int i = 0; i < kAcceptsPerWake && acceptor.socket.is_open(); ++i) {
        if (AcceptOne(loop, acceptor)) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) break;
        if (errno == ECONNABORTED || errno == EINTR) continue;
        LogWarning(absl::StrCat("can't accept a connection, trying again: errno ", errno));
        acceptor.retry.expires_after(kAcceptRetry);
        co_await acceptor.retry.async_wait(kAwait);
      }
    }
  }

  // False with errno set when there was none to take.
  bool AcceptOne(Loop& loop, Acceptor& acceptor) {
    sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    const int descriptor =
        ::accept4(acceptor.socket.native_handle(), reinterpret_cast<sockaddr*>(&storage), &length,
                  SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return false;
    if (!CountConnection()) {
      loop.state.metrics.ConnectionRefused();
      static constexpr std::string_view kRefusal =
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
          "Connection: close\r\n\r\n";
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
    ServeTcpConnection(loop.context, descriptor, acceptor.v6,
                       {acceptor.traits, acceptor.listener.any_origin, peer.address().to_string()},
                       loop.state);
    return true;
  }

  bool CountConnection() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (open_ >= options_.limits.connections_max) return false;
    ++open_;
    return true;
  }
  void ConnectionClosed() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (--open_ == 0) closed_.NotifyAll();
  }

  const HttpServerOptions options_;
  const Clock& clock_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::string> bound_;

  Mutex mutex_;
  CondVar closed_;
  int32_t open_ GUARDED_BY(mutex_) = 0;
};

HttpServer::HttpServer(HttpServerOptions options, const Clock& clock, MetricRegistry& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), clock, metrics)) {}
HttpServer::~HttpServer() = default;

int32_t HttpServer::thread_count() const { return impl_->thread_count(); }
std::function<void(std::function<void()>)> HttpServer::Poster(int32_t thread) {
  return impl_->Poster(thread);
}
void HttpServer::SetHandler(int32_t thread, HttpHandler& handler) {
  impl_->SetHandler(thread, handler);
}
void HttpServer::RunEvery(int32_t thread, absl::Duration interval, std::function<void()> function) {
  impl_->RunEvery(thread, interval, std::move(function));
}
absl::Status HttpServer::Start() { return impl_->Start(); }
std::vector<std::string> HttpServer::bound_addresses() const { return impl_->bound(); }
void HttpServer::StopAccepting() { impl_->StopAccepting(); }
bool HttpServer::WaitUntilIdle(absl::Duration timeout) { return impl_->WaitUntilIdle(timeout); }
void HttpServer::Stop() { impl_->Stop(); }

}  // namespace spillway
