#pragma once

#include <boost/asio.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/http/http_pool.h"
#include "server/http/response_reader.h"
#include "server/http/transport.h"

namespace spillway {

class PooledConnection;

// One request and whoever hears of it. The pool's own.
struct PooledExchange {
  std::string text;              // as it is sent; freed once an answer begins
  ExchangeSink* sink = nullptr;  // null: it is over, or nobody wants it any more
  PooledConnection* connection = nullptr;
  bool paused = false;
  bool sent_again = false;
  bool let_go = false;    // nobody hears of it, but its connection is worth something
  absl::Time wait_until;  // for a connection
};

// Whom a connection tells of its end and of its leisure.
class ConnectionKeeper {
 public:
  virtual ~ConnectionKeeper() = default;
  // It has none to do now and may be given an exchange.
  virtual void OnIdle(PooledConnection& connection) = 0;
  // It is closed, and will be destroyed. Called once.
  virtual void OnClosed(PooledConnection& connection) = 0;
  // After OnClosed(): what it was doing. `never_answered`: it was used before, and not a byte came.
  virtual void OnLost(std::shared_ptr<PooledExchange> exchange, const absl::Status& why,
                      bool never_answered) = 0;
};

// One connection of a pool: connects, sends one request at a time, reads its answer. It keeps
// itself alive while an operation is under way. For http_pool.cc alone.
class PooledConnection : public std::enable_shared_from_this<PooledConnection> {
 public:
  // All outlive it but `keeper`, which must Close() it before it goes.
  PooledConnection(boost::asio::io_context& context, const HttpPoolOptions& options,
                   const Clock& clock, std::vector<char>& read_buffer, ConnectionKeeper& keeper);

  // Once, first: connects, for `exchange`.
  void Open(std::shared_ptr<PooledExchange> exchange);
  // Requires that it is idle.
  void Take(std::shared_ptr<PooledExchange> exchange);
  // The exchange is no longer paused, or was let go.
  void LookAgain() { PostTurn(); }
  void Close();

 private:
  using tcp = boost::asio::ip::tcp;
  // Which event a direction waits for; none: it may go on now.
  using Blocked = std::optional<tcp::socket::wait_type>;

  void Resolve();
  void Connect();
  void OnConnected();
  void Turn();
  void PostTurn();
  bool WriteSome();
  bool ReadSome();
  bool wants_input() const { return exchange_ == nullptr || !exchange_->paused; }
  bool wants_output() const { return exchange_ != nullptr && !send_failed_ && !unsent().empty(); }
  std::string_view unsent() const;
  void OnBytes(std::string_view bytes);
  void OnReadEnd(bool orderly);
  void Finish();
  void Fail(const absl::Status& why);
  void WaitFor(tcp::socket::wait_type event, bool& waiting);
  absl::Time deadline() const;
  void OnDeadline();
  void ArmTimer();
  std::string Address() const;

  const HttpPoolOptions& options_;
  const Clock& clock_;
  std::vector<char>& read_buffer_;
  ConnectionKeeper& keeper_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  boost::asio::steady_timer timer_;
  absl::Time armed_until_ = absl::InfiniteFuture();
  std::vector<tcp::endpoint> endpoints_;  // still to be tried, the next one last
  std::string connect_error_;
  std::unique_ptr<Transport> transport_;  // once connected
  absl::Time connect_until_;
  absl::Time progressed_;  // the last byte, or the last change of what it does
  Blocked reading_;
  Blocked writing_;
  bool waiting_to_read_ = false;
  bool waiting_to_write_ = false;
  bool turn_posted_ = false;
  bool closed_ = false;

  // The exchange.
  std::shared_ptr<PooledExchange> exchange_;  // null: idle
  std::optional<ResponseReader> reader_;
  size_t sent_ = 0;           // of its text
  bool send_failed_ = false;  // it takes no more, but may have answered
  bool any_byte_ = false;     // of an answer
  size_t let_go_bytes_ = 0;   // read since it was let go
  bool used_before_ = false;
};

}  // namespace spillway
