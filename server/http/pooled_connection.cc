#include "server/http/pooled_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/http/string_memory.h"
#include "server/http/tls_client.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr absl::Duration kLongestWait = absl::Hours(24 * 365);  // timers overflow beyond
constexpr int kTurnsMax = 16;     // reads and writes of one connection; then others have their turn
constexpr int kAddressesMax = 8;  // of one name that are tried

void ConfigureSocket(int descriptor) {
  // A socket that can't have an option still works.
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

}  // namespace

PooledConnection::PooledConnection(asio::io_context& context, const HttpPoolOptions& options,
                                   const Clock& clock, std::vector<char>& read_buffer,
                                   ConnectionKeeper& keeper)
    : options_(options),
      clock_(clock),
      read_buffer_(read_buffer),
      keeper_(keeper),
      resolver_(context),
      socket_(context),
      timer_(context),
      connect_until_(clock.Now() + options.limits.connect_max),
      progressed_(clock.Now()) {}

void PooledConnection::Open(std::shared_ptr<PooledExchange> exchange) {
  exchange->connection = this;
  exchange_ = std::move(exchange);
  reader_.emplace(options_.limits.answer);
  ArmTimer();
  Resolve();
}

void PooledConnection::Take(std::shared_ptr<PooledExchange> exchange) {
  CHECK(exchange_ == nullptr && !closed_);
  exchange->connection = this;
  exchange_ = std::move(exchange);
  reader_.emplace(options_.limits.answer);
  sent_ = 0;
  any_byte_ = false;
  let_go_bytes_ = 0;
  used_before_ = true;
  progressed_ = clock_.Now();
  PostTurn();
}

void PooledConnection::Resolve() {
  error_code not_numeric;
  const asio::ip::address numeric = asio::ip::make_address(options_.url.host, not_numeric);
  if (!not_numeric) {
    endpoints_.emplace_back(numeric, static_cast<uint16_t>(std::stoi(options_.url.port)));
    return Connect();
  }
  resolver_.async_resolve(options_.url.host, options_.url.port,
                          [self = shared_from_this()](error_code error, const auto& found) {
                            if (self->closed_) return;
                            if (error) self->connect_error_ = error.message();
                            for (const auto& entry : found) {
                              if (self->endpoints_.size() == kAddressesMax) break;
                              self->endpoints_.push_back(entry.endpoint());
                            }
                            std::reverse(self->endpoints_.begin(), self->endpoints_.end());
                            self->Connect();
                          });
}

void PooledConnection::Connect() {
  if (endpoints_.empty()) {
    return Fail(
        absl::UnavailableError(absl::StrCat("can't reach ", Address(), ": ", connect_error_)));
  }
  const tcp::endpoint endpoint = endpoints_.back();
  endpoints_.pop_back();
  error_code ignored;
  socket_.close(ignored);
  socket_.async_connect(endpoint, [self = shared_from_this()](error_code error) {
    if (self->closed_) return;
    if (!error) return self->OnConnected();
    self->connect_error_ = error.message();
    self->Connect();
  });
}

void PooledConnection::OnConnected() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  const int descriptor = socket_.native_handle();
  ConfigureSocket(descriptor);
  transport_ = options_.url.tls
                   ? MakeTlsClientTransport(descriptor, options_.tls, options_.url.host)
                   : MakePlainTransport(descriptor);
  progressed_ = clock_.Now();
  Turn();
}

void PooledConnection::PostTurn() {
  if (closed_ || turn_posted_) return;
  turn_posted_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->turn_posted_ = false;
    self->Turn();
  });
}

// Does what can be done now, then waits for what can't.
void PooledConnection::Turn() {
  if (closed_ || transport_ == nullptr) return;
  int turns = 0;
  while (turns < kTurnsMax && !closed_ && (WriteSome() || ReadSome())) ++turns;
  if (closed_) return;
  if (turns == kTurnsMax) return PostTurn();
  WaitFor(tcp::socket::wait_read, waiting_to_read_);
  WaitFor(tcp::socket::wait_write, waiting_to_write_);
  ArmTimer();
}

std::string_view PooledConnection::unsent() const {
  return std::string_view(exchange_->text).substr(std::min(sent_, exchange_->text.size()));
}

bool PooledConnection::WriteSome() {
  if (writing_ || !wants_output()) return false;
  const IoResult result = transport_->Write(unsent());
  switch (result.status) {
    case IoResult::Status::kDone:
      sent_ += result.bytes;
      progressed_ = clock_.Now();
      return true;
    case IoResult::Status::kBlockedOnRead:
      writing_ = tcp::socket::wait_read;
      return false;
    case IoResult::Status::kBlockedOnWrite:
      writing_ = tcp::socket::wait_write;
      return false;
    case IoResult::Status::kEnd:
    case IoResult::Status::kFailed:
      break;
  }
  // A server may refuse a request before it has read it all, and close: its answer is there.
  send_failed_ = true;
  return true;
}

bool PooledConnection::ReadSome() {
  if (reading_ || !wants_input()) return false;
  const IoResult result = transport_->Read(read_buffer_.data(), read_buffer_.size());
  switch (result.status) {
    case IoResult::Status::kDone:
      OnBytes({read_buffer_.data(), result.bytes});
      return true;
    case IoResult::Status::kBlockedOnRead:
      reading_ = tcp::socket::wait_read;
      return false;
    case IoResult::Status::kBlockedOnWrite:
      reading_ = tcp::socket::wait_write;
      return false;
    case IoResult::Status::kEnd:
      OnReadEnd(/*orderly=*/true);
      return false;
    case IoResult::Status::kFailed:
      OnReadEnd(/*orderly=*/false);
      return false;
  }
  return false;
}

void PooledConnection::OnBytes(std::string_view bytes) {
  if (exchange_ != nullptr && exchange_->let_go) {
    let_go_bytes_ += bytes.size();
    if (let_go_bytes_ > options_.limits.let_go_bytes_max) return Close();
  } else {
    progressed_ = clock_.Now();
  }
  // Nobody asked: what it says is no answer to anything.
  if (exchange_ == nullptr) return Close();
  const std::shared_ptr<PooledExchange> exchange = exchange_;
  if (!std::exchange(any_byte_, true) && unsent().empty()) ReleaseMemory(exchange->text);
  std::string body;
  const bool had_head = reader_->head_done();
  const absl::Status read = reader_->Read(bytes, body);
  if (exchange->sink != nullptr && !had_head && reader_->head_done()) {
    exchange->sink->OnHead(*reader_);
  }
  if (exchange->sink != nullptr && !body.empty()) exchange->sink->OnBody(body);
  if (exchange_ != exchange) return;  // The sink wants no more of it.
  if (!read.ok()) return Fail(read);
  if (reader_->done()) Finish();
}

void PooledConnection::OnReadEnd(bool orderly) {
  if (exchange_ == nullptr) return Close();
  // With TLS an end that isn't said to be one may be somebody's cut.
  if (orderly && reader_->head_done() && reader_->End().ok()) return Finish();
  if (!transport_->established()) {
    const std::string why = transport_->why_failed();
    return Fail(absl::UnavailableError(absl::StrCat(
        "can't reach ", Address(), ": ", why.empty() ? "it closed the connection" : why)));
  }
  Fail(absl::DataLossError(
      absl::StrCat(Address(), " closed the connection before its answer was complete")));
}

void PooledConnection::Finish() {
  const std::shared_ptr<PooledExchange> exchange = std::move(exchange_);
  exchange_ = nullptr;
  ExchangeSink* sink = std::exchange(exchange->sink, nullptr);
  exchange->connection = nullptr;
  const bool all_sent = exchange->text.empty() || sent_ == exchange->text.size();
  const bool reusable = reader_->connection_is_reusable() && all_sent && !send_failed_;
  reader_.reset();
  progressed_ = clock_.Now();
  if (reusable) {
    keeper_.OnIdle(*this);
  } else {
    Close();
  }
  if (sink != nullptr) sink->OnEnd();
}

void PooledConnection::Fail(const absl::Status& why) {
  const std::shared_ptr<PooledExchange> exchange = std::move(exchange_);
  exchange_ = nullptr;
  exchange->connection = nullptr;
  const bool never_answered =
      used_before_ && !any_byte_ && why.code() == absl::StatusCode::kDataLoss;
  Close();
  keeper_.OnLost(exchange, why, never_answered);
}

void PooledConnection::Close() {
  if (std::exchange(closed_, true)) return;
  const std::shared_ptr<PooledConnection> self = shared_from_this();
  if (exchange_ != nullptr) exchange_->connection = nullptr;
  exchange_ = nullptr;
  resolver_.cancel();
  if (transport_ != nullptr) transport_->ShutdownSend();
  error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
  keeper_.OnClosed(*this);
}

// Waits for `event` if a direction is blocked on it.
void PooledConnection::WaitFor(tcp::socket::wait_type event, bool& waiting) {
  const bool needed = (reading_ == event && wants_input()) || (writing_ == event && wants_output());
  if (!needed || waiting) return;
  waiting = true;
  socket_.async_wait(event, [self = shared_from_this(), event, &waiting](error_code) {
    waiting = false;
    if (self->reading_ == event) self->reading_.reset();
    if (self->writing_ == event) self->writing_.reset();
    self->Turn();
  });
}

absl::Time PooledConnection::deadline() const {
  if (transport_ == nullptr || !transport_->established()) return connect_until_;
  if (exchange_ == nullptr) return progressed_ + options_.limits.idle_time;
  if (exchange_->let_go) return progressed_ + options_.limits.let_go_time;
  return exchange_->paused ? absl::InfiniteFuture() : progressed_ + options_.limits.silence_max;
}

void PooledConnection::OnDeadline() {
  if (exchange_ == nullptr || exchange_->let_go) return Close();
  if (transport_ == nullptr || !transport_->established()) {
    return Fail(
        absl::UnavailableError(absl::StrCat("can't reach ", Address(), ": nothing came of it in ",
                                            absl::FormatDuration(options_.limits.connect_max))));
  }
  Fail(absl::DeadlineExceededError(absl::StrCat(
      Address(), " said nothing for ", absl::FormatDuration(options_.limits.silence_max))));
}

// A timer that goes off too early costs one look; setting it anew at each byte would cost more.
void PooledConnection::ArmTimer() {
  const absl::Time until = deadline();
  if (closed_ || until >= armed_until_) return;
  armed_until_ = until;
  const absl::Duration left = until - clock_.Now();
  timer_.expires_after(absl::ToChronoNanoseconds(std::min(left, kLongestWait)));
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (error || self->closed_) return;
    self->armed_until_ = absl::InfiniteFuture();
    if (self->clock_.Now() >= self->deadline()) return self->OnDeadline();
    self->ArmTimer();
  });
}

std::string PooledConnection::Address() const {
  return absl::StrCat(options_.url.host, ":", options_.url.port);
}

}  // namespace spillway
