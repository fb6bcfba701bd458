#include "server/http/http_pool.h"

#include <algorithm>
#include <boost/asio.hpp>
#include <deque>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/http/pooled_connection.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kReadBytes = 64 << 10;

std::string HeadersOf(const HttpPoolOptions& options) {
  const bool is_v6 = options.url.host.find(':') != std::string::npos;
  std::string lines =
      absl::StrCat(" HTTP/1.1\r\nHost: ", is_v6 ? "[" : "", options.url.host, is_v6 ? "]:" : ":",
                   options.url.port, "\r\nUser-Agent: spillway\r\nAccept-Encoding: identity\r\n");
  for (const HttpHeader& header : options.headers) {
    absl::StrAppend(&lines, header.name, ": ", header.value, "\r\n");
  }
  return lines;
}

class Pool;

// What a caller holds.
class Handle : public HttpExchange {
 public:
  Handle(std::weak_ptr<Pool*> pool, std::shared_ptr<PooledExchange> exchange)
      : pool_(std::move(pool)), exchange_(std::move(exchange)) {}
  ~Handle() override;
  void Pause() override { exchange_->paused = true; }
  void Resume() override {
    if (!std::exchange(exchange_->paused, false)) return;
    if (exchange_->connection != nullptr) exchange_->connection->LookAgain();
  }
  void LetGo() override {
    // What has not begun to answer is worth nothing.
    if (exchange_->connection == nullptr) return;
    exchange_->sink = nullptr;
    exchange_->let_go = true;
    exchange_->paused = false;
    exchange_->connection->LookAgain();
  }

 private:
  const std::weak_ptr<Pool*> pool_;  // expired: the pool is closed
  const std::shared_ptr<PooledExchange> exchange_;
};

class Pool : public HttpPool, public ConnectionKeeper {
 public:
  Pool(asio::io_context& context, HttpPoolOptions options, const Clock& clock)
      : context_(context),
        options_(std::move(options)),
        clock_(clock),
        header_lines_(HeadersOf(options_)),
        read_buffer_(kReadBytes),
        timer_(context),
        self_(std::make_shared<Pool*>(this)) {
    CHECK(!options_.url.tls || options_.tls != nullptr);
  }
  ~Pool() override { Close(); }

  std::unique_ptr<HttpExchange> Begin(std::string_view path, std::string_view body,
                                      ExchangeSink& sink) override {
    auto exchange = std::make_shared<PooledExchange>();
    exchange->sink = &sink;
    exchange->text = TextOf(path, body);
    if (!idle_.empty()) {
      PooledConnection& connection = *idle_.back();
      idle_.pop_back();
      connection.Take(exchange);
    } else if (self_ == nullptr) {
      PostBroken(exchange, absl::UnavailableError("this server is shutting down"));
    } else if (connections_.size() < static_cast<size_t>(options_.limits.connections_max)) {
      OpenFor(exchange);
    } else if (waiting_.size() < static_cast<size_t>(options_.limits.waiting_max)) {
      Await(exchange);
    } else {
      PostBroken(exchange, absl::ResourceExhaustedError(absl::StrCat(
                               waiting_.size(), " requests wait for a connection already")));
    }
    return std::make_unique<Handle>(self_, std::move(exchange));
  }

  void Close() override {
    self_.reset();
    timer_.cancel();
    for (const auto& exchange : std::exchange(waiting_, {})) exchange->sink = nullptr;
    for (const auto& [key, connection] : std::exchange(connections_, {})) connection->Close();
    idle_.clear();
  }

  size_t connections() const override { return connections_.size(); }
  size_t idle_connections() const override { return idle_.size(); }
  size_t waiting() const override { return waiting_.size(); }

  // Nobody wants it any more.
  void Cancel(PooledExchange& exchange) {
    exchange.sink = nullptr;
    if (exchange.connection != nullptr) return exchange.connection->Close();
    std::erase_if(waiting_, [&](const auto& each) { return each.get() == &exchange; });
  }

 private:
  std::string TextOf(std::string_view path, std::string_view body) const {
    std::string text;
    text.reserve(options_.url.path.size() + path.size() + header_lines_.size() + body.size() + 96);
    text += body.empty() ? "GET " : "POST ";
    text += options_.url.path;
    text += path;
    text += header_lines_;
    if (!body.empty()) {
      absl::StrAppend(&text, "Content-Type: application/json\r\nContent-Length: ", body.size(),
                      "\r\n");
    }
    text += "\r\n";
    text += body;
    return text;
  }

  void OpenFor(const std::shared_ptr<PooledExchange>& exchange) {
    auto connection =
        std::make_shared<PooledConnection>(context_, options_, clock_, read_buffer_, *this);
    connections_.emplace(connection.get(), connection);
    connection->Open(exchange);
  }

  void Await(const std::shared_ptr<PooledExchange>& exchange) {
    exchange->wait_until = clock_.Now() + options_.limits.wait_max;
    waiting_.push_back(exchange);
    if (waiting_.size() == 1) ArmTimer();
  }

  void ArmTimer() {
    if (waiting_.empty() || self_ == nullptr) return;
    timer_.expires_after(absl::ToChronoNanoseconds(waiting_.front()->wait_until - clock_.Now()));
    timer_.async_wait([this, self = std::weak_ptr<Pool*>(self_)](error_code error) {
      if (error || self.expired()) return;
      GiveUpWaiting();
      if (!self.expired()) ArmTimer();
    });
  }

  void GiveUpWaiting() {
    std::vector<std::shared_ptr<PooledExchange>> late;
    for (; !waiting_.empty() && waiting_.front()->wait_until <= clock_.Now();
         waiting_.pop_front()) {
      late.push_back(waiting_.front());
    }
    for (const auto& exchange : late) {
      TellBroken(*exchange, absl::UnavailableError(
                                absl::StrCat("no connection was free for ",
                                             absl::FormatDuration(options_.limits.wait_max))));
    }
  }

  static void TellBroken(PooledExchange& exchange, const absl::Status& why) {
    ExchangeSink* sink = std::exchange(exchange.sink, nullptr);
    if (sink == nullptr) return;
    // It left once, over the connection before, and nobody knows how far it came.
    if (exchange.sent_again && !absl::IsDataLoss(why)) {
      return sink->OnBroken(absl::DataLossError(why.message()));
    }
    sink->OnBroken(why);
  }

  void PostBroken(const std::shared_ptr<PooledExchange>& exchange, absl::Status why) {
    asio::post(context_, [exchange, why = std::move(why)] { TellBroken(*exchange, why); });
  }

  // The longest waiting that somebody still wants; null: there is none.
  std::shared_ptr<PooledExchange> NextWaiting() {
    if (waiting_.empty()) return nullptr;
    std::shared_ptr<PooledExchange> exchange = std::move(waiting_.front());
    waiting_.pop_front();
    return exchange;
  }

  // ConnectionKeeper
  void OnIdle(PooledConnection& connection) override {
    if (auto exchange = NextWaiting()) return connection.Take(std::move(exchange));
    idle_.push_back(&connection);
  }
  void OnClosed(PooledConnection& connection) override {
    std::erase(idle_, &connection);
    // Close() was called by the pool itself where it is there no more.
    if (connections_.erase(&connection) == 0) return;
    if (auto exchange = NextWaiting()) OpenFor(exchange);
  }
  void OnLost(std::shared_ptr<PooledExchange> exchange, const absl::Status& why,
              bool never_answered) override {
    if (!never_answered || exchange->sent_again || exchange->sink == nullptr) {
      return TellBroken(*exchange, why);
    }
    exchange->sent_again = true;
    // Those that are idle may be as dead.
    if (connections_.size() < static_cast<size_t>(options_.limits.connections_max)) {
      return OpenFor(exchange);
    }
    Await(exchange);
  }

  asio::io_context& context_;
  const HttpPoolOptions options_;
  const Clock& clock_;
  const std::string header_lines_;
  std::vector<char> read_buffer_;
  asio::steady_timer timer_;
  std::shared_ptr<Pool*> self_;  // null: closed
  std::unordered_map<PooledConnection*, std::shared_ptr<PooledConnection>> connections_;
  std::vector<PooledConnection*> idle_;  // the last used one last
  std::deque<std::shared_ptr<PooledExchange>> waiting_;
};

Handle::~Handle() {
  const auto pool = pool_.lock();
  if (pool != nullptr && !exchange_->let_go) {
    (*pool)->Cancel(*exchange_);
  } else {
    exchange_->sink = nullptr;
  }
}

}  // namespace

std::unique_ptr<HttpPool> MakeHttpPool(asio::io_context& context, HttpPoolOptions options,
                                       const Clock& clock) {
  return std::make_unique<Pool>(context, std::move(options), clock);
}

}  // namespace spillway
