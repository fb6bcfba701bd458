#include "server/http/http_server.h"

#include <boost/asio.hpp>
#include <chrono>
#include <thread>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "server/http/connection_count.h"
#include "server/http/http_thread.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Calls a function at equal intervals until it is stopped.
class Repeater {
 public:
  Repeater(asio::io_context& context, absl::Duration interval, std::function<void()> function)
      : timer_(context),
        interval_(absl::ToChronoNanoseconds(interval)),
        function_(std::move(function)) {
    Arm();
  }
  void Stop() {
    stopped_ = true;
    timer_.cancel();
  }

 private:
  void Arm() {
    timer_.expires_after(interval_);
    timer_.async_wait([this](error_code) {
      if (stopped_) return;
      function_();
      Arm();
    });
  }

  asio::steady_timer timer_;
  const std::chrono::nanoseconds interval_;
  const std::function<void()> function_;
  bool stopped_ = false;
};

// One thread and what belongs to it.
struct Loop {
  Loop(const HttpServerOptions& options, const Clock& clock, MetricRegistry& metrics,
       uint64_t id_seed)
      : state(options.limits, options.trusted_proxies, clock, metrics, id_seed, options.threads),
        context(1),
        work(asio::make_work_guard(context)) {}

  void StopAccepting() {
    state.draining = true;
    for (auto& acceptor : acceptors) acceptor->Stop();
    for (HttpConnection* connection : state.connections) connection->Drain();
  }

  void StopEverything() {
    StopAccepting();
    for (auto& repeater : repeaters) repeater->Stop();
    const std::vector<HttpConnection*> left(state.connections.begin(), state.connections.end());
    for (HttpConnection* connection : left) connection->Cut();
    for (auto& pool : pools) pool->Close();
    work.reset();
  }

  HttpThreadState state;  // outlives the connections, which the context's operations hold
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::vector<std::unique_ptr<Acceptor>> acceptors;
  std::vector<std::unique_ptr<Repeater>> repeaters;
  std::vector<std::unique_ptr<HttpPool>> pools;
  std::thread thread;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpServerOptions options, const Clock& clock, MetricRegistry& metrics)
      : options_(std::move(options)), clock_(clock), open_(options_.limits.connections_max) {
    CHECK(options_.threads > 0);
    for (int32_t i = 0; i < options_.threads; ++i) {
      loops_.push_back(std::make_unique<Loop>(options_, clock, metrics,
                                              options_.id_seed + static_cast<uint64_t>(i)));
      loops_.back()->state.connection_closed = [this] { open_.Remove(); };
    }
  }
  ~Impl() { Stop(); }

  std::function<void(std::function<void()>)> Poster(int32_t thread) {
    asio::io_context& context = LoopOf(thread).context;
    return [&context](std::function<void()> function) { asio::post(context, std::move(function)); };
  }

  void SetHandler(int32_t thread, HttpHandler& handler) { LoopOf(thread).state.handler = &handler; }

  void RunEvery(int32_t thread, absl::Duration interval, std::function<void()> function) {
    Loop& loop = LoopOf(thread);
    loop.repeaters.push_back(
        std::make_unique<Repeater>(loop.context, interval, std::move(function)));
  }

  HttpPool& AddPool(int32_t thread, HttpPoolOptions options) {
    Loop& loop = LoopOf(thread);
    loop.pools.push_back(MakeHttpPool(loop.context, std::move(options), clock_));
    return *loop.pools.back();
  }

  absl::Status Start() {
    for (const HttpListener& listener : options_.listeners) {
      if (absl::Status status = Open(listener); !status.ok()) {
        for (auto& loop : loops_) loop->acceptors.clear();
        bound_.clear();
        return status;
      }
    }
    for (auto& loop : loops_) {
      CHECK(loop->state.handler != nullptr);
      for (auto& acceptor : loop->acceptors) acceptor->Start();
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

  bool WaitUntilIdle(absl::Duration timeout) { return open_.WaitForNone(clock_, timeout); }

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
  Loop& LoopOf(int32_t thread) {
    CHECK(thread >= 0 && thread < options_.threads);
    return *loops_[static_cast<size_t>(thread)];
  }

  // One acceptor per thread on one port.
  absl::Status Open(const HttpListener& listener) {
    RETURN_IF_ERROR(CheckPortIsFree(loops_.front()->context, listener.address));
    std::string address = listener.address;
    for (auto& loop : loops_) {
      ASSIGN_OR_RETURN(std::unique_ptr<Acceptor> acceptor,
                       OpenAcceptor(loop->context, listener, address, loop->state, open_));
      address = acceptor->bound_address();
      loop->acceptors.push_back(std::move(acceptor));
    }
    bound_.push_back(address);
    return absl::OkStatus();
  }

  const HttpServerOptions options_;
  const Clock& clock_;
  ConnectionCount open_;  // outlives the connections of the loops
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::string> bound_;
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
HttpPool& HttpServer::AddPool(int32_t thread, HttpPoolOptions options) {
  return impl_->AddPool(thread, std::move(options));
}
absl::Status HttpServer::Start() { return impl_->Start(); }
std::vector<std::string> HttpServer::bound_addresses() const { return impl_->bound(); }
void HttpServer::StopAccepting() { impl_->StopAccepting(); }
bool HttpServer::WaitUntilIdle(absl::Duration timeout) { return impl_->WaitUntilIdle(timeout); }
void HttpServer::Stop() { impl_->Stop(); }

}  // namespace spillway
