#include "server/http/http_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "common/check.h"
#include "server/http/transport.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Timers overflow at absl::InfiniteDuration().
constexpr absl::Duration kLongestWait = absl::Hours(24 * 365);
constexpr int kTurnsMax = 16;  // reads and writes of one connection; then others have their turn
// What the kernel keeps of an answer before it says that the client doesn't read. Small, so that
// the limits on unsent bytes see a slow reader, and a thousand of them don't fill its memory.
constexpr int kKernelUnsentBytes = 64 << 10;

void SetOption(int descriptor, int level, int option, int value) {
  // A socket that can't have an option still works.
  ::setsockopt(descriptor, level, option, &value, sizeof(value));
}

void ConfigureSocket(int descriptor, const HttpLimits& limits) {
  // Tokens are small writes that must not wait for one another.
  SetOption(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kKernelUnsentBytes);
  // A client that vanished without a word: while we send, and while it waits for us.
  SetOption(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT,
            static_cast<int>(absl::ToInt64Milliseconds(limits.unacknowledged_time)));
  SetOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(descriptor, IPPROTO_TCP, TCP_KEEPIDLE,
            static_cast<int>(absl::ToInt64Seconds(limits.unacknowledged_time) / 2));
  SetOption(descriptor, IPPROTO_TCP, TCP_KEEPINTVL,
            static_cast<int>(absl::ToInt64Seconds(limits.unacknowledged_time) / 4));
}

// Carries the bytes of one session. It keeps itself alive while an operation of the socket or the
// timer is under way, so as long as the socket is open.
class Connection final : public SessionOwner, public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::unique_ptr<Transport> transport, ConnectionOrigin origin,
             HttpThreadState& thread)
      : thread_(thread),
        socket_(std::move(socket)),
        transport_(std::move(transport)),
        timer_(socket_.get_executor()),
        session_(std::move(origin), thread, *this) {
    thread_.connections.insert(this);
    thread_.metrics.ConnectionOpened();
  }
  ~Connection() override { Close(HttpSession::End::kClose); }

  void Begin() {
    handshake_deadline_ = thread_.clock.Now() + thread_.limits.head_time;
    session_.Begin();
    Turn();
  }

  // SessionOwner
  void Drain() override { session_.Drain(); }
  void Cut() override {
    session_.Cut(HttpSession::End::kClose);
    Close(HttpSession::End::kClose);
  }
  void SessionChanged() override {
    if (closed_ || turn_posted_) return;
    // A client that doesn't read costs nothing but the memory: there is nothing to do before it
    // does.
    if (writing_.blocked_on && session_.end() == HttpSession::End::kOpen &&
        session_.deadline() >= armed_until_) {
      return;
    }
    turn_posted_ = true;
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      self->turn_posted_ = false;
      self->Turn();
    });
  }

 private:
  // Which event a direction waits for; none: it may go on now.
  struct Direction {
    std::optional<tcp::socket::wait_type> blocked_on;
  };

  // Does what can be done now, then waits for what can't.
  void Turn() {
    if (closed_) return;
    session_.Tick();
    if (thread_.clock.Now() >= handshake_deadline_) CheckHandshake();
    int turns = 0;
    while (turns < kTurnsMax && (WriteSome() || ReadSome())) ++turns;
    if (session_.end() != HttpSession::End::kOpen) return Close(session_.end());
    if (turns == kTurnsMax) return SessionChanged();
    if (session_.send_ended() && session_.output().empty() && !send_shut_down_) {
      send_shut_down_ = true;
      transport_->ShutdownSend();
    }
    WaitFor(tcp::socket::wait_read, waiting_to_read_);
    WaitFor(tcp::socket::wait_write, waiting_to_write_);
    ArmTimer();
  }

  void CheckHandshake() {
    handshake_deadline_ = absl::InfiniteFuture();
    if (transport_->established()) return;
    thread_.metrics.HandshakeFailed();
    session_.Cut(HttpSession::End::kClose);
  }

  bool WriteSome() {
    if (writing_.blocked_on || session_.output().empty()) return false;
    const IoResult result = transport_->Write(session_.output());
    if (!Note(result, writing_)) return false;
    session_.Sent(result.bytes);
    return true;
  }

  bool ReadSome() {
    if (reading_.blocked_on || !session_.wants_input()) return false;
    std::vector<char>& buffer = thread_.read_buffer;
    const IoResult result = transport_->Read(buffer.data(), buffer.size());
    if (!Note(result, reading_)) return false;
    session_.Receive({buffer.data(), result.bytes});
    return true;
  }

  // True when bytes went.
  bool Note(const IoResult& result, Direction& direction) {
    switch (result.status) {
      case IoResult::Status::kDone:
        return true;
      case IoResult::Status::kBlockedOnRead:
        direction.blocked_on = tcp::socket::wait_read;
        break;
      case IoResult::Status::kBlockedOnWrite:
        direction.blocked_on = tcp::socket::wait_write;
        break;
      case IoResult::Status::kEnd:
        session_.ReceiveEnd();
        break;
      case IoResult::Status::kFailed:
        if (!transport_->established()) thread_.metrics.HandshakeFailed();
        session_.Broken();
        break;
    }
    return false;
  }

  // Waits for `event` if a direction is blocked on it.
  void WaitFor(tcp::socket::wait_type event, bool& waiting) {
    const bool needed = (reading_.blocked_on == event && session_.wants_input()) ||
                        (writing_.blocked_on == event && !session_.output().empty());
    if (!needed || waiting) return;
    waiting = true;
    socket_.async_wait(event, [self = shared_from_this(), event, &waiting](error_code) {
      waiting = false;
      for (Direction* direction : {&self->reading_, &self->writing_}) {
        if (direction->blocked_on == event) direction->blocked_on.reset();
      }
      self->Turn();
    });
  }

  // A timer that goes off too early costs one look; setting it anew at each write would cost more.
  void ArmTimer() {
    const absl::Time deadline = std::min(session_.deadline(), handshake_deadline_);
    if (deadline >= armed_until_) return;
    armed_until_ = deadline;
    const absl::Duration left = deadline - thread_.clock.Now();
    timer_.expires_after(absl::ToChronoNanoseconds(std::min(left, kLongestWait)));
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error) return;
      self->armed_until_ = absl::InfiniteFuture();
      self->Turn();
    });
  }

  void Close(HttpSession::End end) {
    if (std::exchange(closed_, true)) return;
    error_code ignored;
    if (end == HttpSession::End::kReset) {
      socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    } else if (!send_shut_down_) {
      transport_->ShutdownSend();
    }
    socket_.close(ignored);
    timer_.cancel();
    thread_.connections.erase(this);
    thread_.metrics.ConnectionClosed();
    thread_.connection_closed();
  }

  HttpThreadState& thread_;
  tcp::socket socket_;
  const std::unique_ptr<Transport> transport_;
  asio::steady_timer timer_;
  absl::Time armed_until_ = absl::InfiniteFuture();
  absl::Time handshake_deadline_ = absl::InfiniteFuture();
  HttpSession session_;
  Direction reading_;
  Direction writing_;
  bool waiting_to_read_ = false;
  bool waiting_to_write_ = false;
  bool turn_posted_ = false;
  bool send_shut_down_ = false;
  bool closed_ = false;
};

}  // namespace

void ServeConnection(asio::io_context& context, int descriptor, bool is_v6,
                     TlsCredentials::Context tls, ConnectionOrigin origin,
                     HttpThreadState& thread) {
  tcp::socket socket(context);
  error_code error;
  socket.assign(is_v6 ? tcp::v6() : tcp::v4(), descriptor, error);
  CHECK(!error);
  ConfigureSocket(descriptor, thread.limits);
  std::unique_ptr<Transport> transport = tls == nullptr
                                             ? MakePlainTransport(descriptor)
                                             : MakeTlsTransport(descriptor, std::move(tls));
  std::make_shared<Connection>(std::move(socket), std::move(transport), std::move(origin), thread)
      ->Begin();
}

}  // namespace spillway
