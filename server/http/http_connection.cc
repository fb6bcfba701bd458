#include "server/http/http_connection.h"

#include <algorithm>
#include <array>
#include <boost/asio.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/http/http_head.h"

namespace spillway {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
// Timers overflow at absl::InfiniteDuration().
constexpr absl::Duration kLongestWait = absl::Hours(24 * 365);
constexpr size_t kReadBytes = 16u << 10;
constexpr std::string_view kBadVersion = "only HTTP/1.1 and HTTP/1.0 are spoken here";
constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view ToStd(boost::beast::string_view text) { return {text.data(), text.size()}; }

asio::const_buffer Buffer(std::string_view text) { return asio::buffer(text.data(), text.size()); }

// What differs between transports. A TLS stream adds its overloads.
void ShutdownSend(asio::ip::tcp::socket& socket) {
  error_code ignored;
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}
void CloseTransport(asio::ip::tcp::socket& socket) {
  error_code ignored;
  socket.close(ignored);
}
// The peer sees a reset instead of an orderly end.
void ResetOnClose(asio::ip::tcp::socket& socket) {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
}

// g++ 12 miscompiles a co_await that stands inside a condition or whose operand has temporaries (it
// resumed the wrong frame here; compare GCC bugs 99576, 100611, 105287). So in this file a co_await
// is a statement of its own or initialises a variable, and its arguments are variables.
//
// Two coroutines share the connection, both on its thread. ReadLoop always has a read
// outstanding, so that a client's going is noticed while an answer is made, also over TLS, and no
// read ever has to be cancelled. Serve parses what was read and writes the answers, one at a time.
template <typename Stream>
class StreamConnection final : public HttpConnection,
                               public ResponseWriter,
                               public std::enable_shared_from_this<StreamConnection<Stream>> {
 public:
  StreamConnection(Stream stream, ConnectionOrigin origin, HttpThreadState& thread)
      : thread_(thread),
        limits_(thread.limits),
        origin_(std::move(origin)),
        stream_(std::move(stream)),
        timer_(stream_.get_executor()),
        reader_timer_(stream_.get_executor()),
        write_timer_(stream_.get_executor()) {
    thread_.connections.insert(this);
    thread_.metrics.ConnectionOpened();
  }

  ~StreamConnection() override {
    thread_.connections.erase(this);
    thread_.metrics.ConnectionClosed();
    thread_.connection_closed();
  }

  void Start() {
    const auto die = [](std::exception_ptr exception) { CHECK(exception == nullptr); };
    asio::co_spawn(stream_.get_executor(), ReadLoop(this->shared_from_this()), die);
    asio::co_spawn(stream_.get_executor(), Serve(this->shared_from_this()), die);
  }

  // HttpConnection
  void Drain() override { Wake(); }
  void Cut() override { Close(); }

  // ResponseWriter
  void SetRoute(std::string_view route) override { answer_.route = route; }

  void Send(HttpResponse response) override {
    CHECK(answer_.phase == Phase::kNone);
    answer_.phase = Phase::kEnded;
    answer_.status = response.status;
    ResponseHead head = MakeHead(response.status, response.content_type);
    head.body_bytes = response.body.size();
    answer_.head = FormatHead(head, response.headers);
    if (!answer_.head_only) outbox_ = std::move(response.body);
    Wake();
  }

  void BeginStream(std::string_view content_type, const std::vector<HttpHeader>& headers) override {
    CHECK(answer_.phase == Phase::kNone);
    answer_.phase = Phase::kStreaming;
    answer_.status = 200;
    answer_.framing = answer_.http_version == 10 ? BodyFraming::kUntilClose : BodyFraming::kChunked;
    if (answer_.framing == BodyFraming::kUntilClose) keep_alive_ = false;
    ResponseHead head = MakeHead(200, content_type);
    head.framing = answer_.framing;
    answer_.head = FormatHead(head, headers);
  }

  void Write(std::string_view events) override {
    CHECK(answer_.phase == Phase::kStreaming);
    if (answer_.overflowed) return;
    if (outbox_.size() + events.size() > limits_.unsent_bytes_max) {
      // Cutting destroys the operation, which may be the caller: not now.
      answer_.overflowed = true;
      asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->CutSlow(); });
      return;
    }
    outbox_.append(events);
  }

  void Flush() override {
    answer_.flush = true;
    Wake();
  }
  void EndStream() override {
    CHECK(answer_.phase == Phase::kStreaming);
    answer_.phase = Phase::kEnded;
    Flush();
  }
  void AbortStream() override {
    CHECK(answer_.phase == Phase::kStreaming);
    answer_.phase = Phase::kAborted;
    keep_alive_ = false;
    Flush();
  }
  void WakeAfter(absl::Duration delay) override {
    answer_.wake_at = After(delay);
    Wake();
  }

 private:
  enum class Phase { kNone, kStreaming, kEnded, kAborted };

  // The answer in the making.
  struct Answer {
    Phase phase = Phase::kNone;
    std::string_view route = "none";
    int status = 0;
    int http_version = 11;
    bool head_only = false;
    BodyFraming framing = BodyFraming::kLength;
    std::string head;  // empty once it was written
    std::string request_id;
    bool flush = false;
    bool overflowed = false;
    bool last_chunk_written = false;
    absl::Time wake_at = absl::InfiniteFuture();
  };

  asio::awaitable<void> ReadLoop([[maybe_unused]] std::shared_ptr<StreamConnection> self) {
    std::array<char, kReadBytes> bytes;
    while (!closed_) {
      if (input_.size() - input_begin_ >= limits_.read_ahead_bytes_max) {
        reader_timer_.expires_after(absl::ToChronoNanoseconds(kLongestWait));
        co_await reader_timer_.async_wait(kAwait);
        continue;
      }
      const auto [error, count] = co_await stream_.async_read_some(asio::buffer(bytes), kAwait);
      if (error) {
        input_ended_ = true;
        if (answering_) ClientGone();
        break;
      }
      if (!discarding_) input_.append(bytes.data(), count);
      Wake();
    }
    Wake();
  }

  asio::awaitable<void> Serve([[maybe_unused]] std::shared_ptr<StreamConnection> self) {
    while (!closed_) {
      const bool complete = co_await ReadRequest();
      if (!complete) break;
      co_await AnswerRequest();
      if (!keep_alive_) break;
    }
    if (!closed_) co_await End();
  }

  // False when the connection should end; a refusal has then been written.
  asio::awaitable<bool> ReadRequest() {
    parser_.emplace();
    parser_->header_limit(limits_.head_bytes_max);
    parser_->body_limit(limits_.body_bytes_max);
    parser_->eager(true);
    answer_ = Answer();
    absl::Time deadline = After(limits_.idle_time);
    bool begun = false;
    bool head_done = false;
    while (!closed_) {
      if (input_begin_ < input_.size()) {
        if (!begun) deadline = After(limits_.head_time);
        begun = true;
        error_code error;
        Consume(parser_->put(
            asio::buffer(input_.data() + input_begin_, input_.size() - input_begin_), error));
        if (error && error != http::error::need_more) {
          co_await RefuseMalformed(error);
          co_return false;
        }
        if (!head_done && parser_->is_header_done()) {
          head_done = true;
          deadline = After(limits_.body_time);
          const bool admitted = co_await AdmitHead();
          if (!admitted) co_return false;
        }
        if (parser_->is_done()) co_return true;
        if (!error) continue;
      }
      if (input_ended_ || (!begun && thread_.draining)) co_return false;
      const bool woken = co_await Wait(deadline);
      if (!woken) {
        if (begun) co_await Refuse(408, "the request took too long to arrive");
        co_return false;
      }
    }
    co_return false;
  }

  // What can be judged once the head is here. False: refused.
  asio::awaitable<bool> AdmitHead() {
    const auto& message = parser_->get();
    answer_.http_version = static_cast<int>(message.version());
    if (message.version() != 11 && message.version() != 10) {
      answer_.http_version = 11;
      co_await Refuse(501, kBadVersion);
      co_return false;
    }
    answer_.head_only = message.method() == http::verb::head;
    keep_alive_ = parser_->keep_alive();
    if (message.version() == 11 && message.count(http::field::host) != 1) {
      co_await Refuse(400, "an HTTP/1.1 request needs exactly one Host header");
      co_return false;
    }
    // A body that two servers would measure differently is how requests are smuggled.
    if (message.count(http::field::transfer_encoding) > 0 && !parser_->chunked()) {
      co_await Refuse(501, "the only transfer encoding known here is chunked");
      co_return false;
    }
    const auto expect = message.find(http::field::expect);
    if (expect == message.end()) co_return true;
    if (!absl::EqualsIgnoreCase(absl::string_view(expect->value().data(), expect->value().size()),
                                "100-continue")) {
      co_await Refuse(417, "the only expectation known here is 100-continue");
      co_return false;
    }
    if (message.version() == 11 && !parser_->is_done()) {
      const std::array buffers = {Buffer(kContinue)};
      co_await WriteAll(buffers);
    }
    co_return !closed_;
  }

  asio::awaitable<void> RefuseMalformed(error_code error) {
    int status = 400;
    std::string message = absl::StrCat("this is not an HTTP request: ", error.message());
    if (error == http::error::header_limit) {
      status = 431;
      message =
          absl::StrCat("the request line and headers are over ", limits_.head_bytes_max, " bytes");
    } else if (error == http::error::body_limit) {
      status = 413;
      message = absl::StrCat("the body is over ", limits_.body_bytes_max, " bytes");
    } else if (error == http::error::bad_version) {
      status = 501;
      message = kBadVersion;
    }
    co_await Refuse(status, message);
  }

  asio::awaitable<void> Refuse(int status, std::string_view message) {
    keep_alive_ = false;
    linger_ = true;
    if (answer_.request_id.empty()) answer_.request_id = thread_.ids.Next();
    Send(thread_.handler->ConnectionError(status, message));
    while (!closed_ && HasWork()) co_await WriteReady();
    thread_.metrics.RequestEnded("none", status, absl::ZeroDuration());
  }

  HttpRequest MakeRequest() {
    const auto& message = parser_->get();
    HttpRequest request;
    request.method = ToStd(message.method_string());
    RequestTarget target = ParseTarget(ToStd(message.target()));
    request.path = std::move(target.path);
    request.query = std::move(target.query);
    for (const auto& field : message) {
      request.headers.emplace_back(ToStd(field.name_string()), ToStd(field.value()));
    }
    request.body = message.body();
    const std::optional<std::string_view> id = request.Header("x-request-id");
    request.request_id = id && IsFitRequestId(*id) ? std::string(*id) : thread_.ids.Next();
    request.peer_address = origin_.peer_address;
    request.listener = origin_.listener;
    return request;
  }

  asio::awaitable<void> AnswerRequest() {
    const absl::Time began = thread_.clock.Now();
    answering_ = true;
    HttpRequest request = MakeRequest();
    answer_.request_id = request.request_id;
    operation_ = thread_.handler->Handle(request, *this);
    CHECK(operation_ != nullptr || answer_.phase == Phase::kEnded);
    parser_.reset();
    if (input_ended_ && answer_.phase != Phase::kEnded) ClientGone();
    while (!closed_) {
      if (HasWork()) {
        co_await WriteReady();
      } else if (answer_.phase == Phase::kEnded || answer_.phase == Phase::kAborted) {
        break;
      } else {
        const bool woken = co_await Wait(answer_.wake_at);
        if (woken) continue;
        answer_.wake_at = absl::InfiniteFuture();
        if (operation_ != nullptr) operation_->OnWake();
      }
    }
    answering_ = false;
    operation_.reset();
    constexpr int kClientClosedRequest = 499;  // nginx's number for it
    thread_.metrics.RequestEnded(answer_.route,
                                 answer_.status == 0 ? kClientClosedRequest : answer_.status,
                                 thread_.clock.Now() - began);
  }

  bool HasWork() const {
    if (answer_.phase == Phase::kNone) return false;
    if (answer_.phase == Phase::kStreaming && !answer_.flush) return false;
    return !answer_.head.empty() || !outbox_.empty() || NeedsLastChunk();
  }
  bool NeedsLastChunk() const {
    return answer_.phase == Phase::kEnded && answer_.framing == BodyFraming::kChunked &&
           !answer_.last_chunk_written;
  }

  // One write with all that is ready.
  asio::awaitable<void> WriteReady() {
    answer_.flush = false;
    const std::string head = std::exchange(answer_.head, {});
    writing_.clear();
    writing_.swap(outbox_);
    const bool chunked = answer_.framing == BodyFraming::kChunked && !writing_.empty();
    const std::string chunk_size = chunked ? FormatChunkSize(writing_.size()) : std::string();
    const bool last = NeedsLastChunk();
    if (last) answer_.last_chunk_written = true;
    const std::array buffers = {Buffer(head), Buffer(chunk_size), Buffer(writing_),
                                Buffer(chunked ? kLineEnd : ""), Buffer(last ? kLastChunk : "")};
    co_await WriteAll(buffers);
  }

  template <typename Buffers>
  asio::awaitable<void> WriteAll(const Buffers& buffers) {
    write_timer_.expires_after(absl::ToChronoNanoseconds(limits_.write_time));
    write_timer_.async_wait([weak = this->weak_from_this()](error_code error) {
      if (error) return;
      if (const auto self = weak.lock()) self->CutSlow();
    });
    const auto [error, count] = co_await asio::async_write(stream_, buffers, kAwait);
    // Zero: the deadline had already passed and its handler is on the way.
    if (write_timer_.cancel() == 0) co_return;
    if (error) ClientGone();
  }

  void CutSlow() {
    if (closed_) return;
    thread_.metrics.ClientCut();
    // A reset, so that what the kernel still holds for this client is freed at once.
    ResetOnClose(stream_);
    Close();
  }

  void ClientGone() {
    if (closed_) return;
    if (answering_) thread_.metrics.ClientGone();
    Close();
  }

  // Stops everything. Never called from within the operation.
  void Close() {
    if (closed_) return;
    closed_ = true;
    operation_.reset();
    CloseTransport(stream_);
    Wake();
    reader_timer_.cancel();
  }

  // The orderly end. After a refusal the client may still be sending, and a close with unread
  // input becomes a reset that can overtake the answer: so read on a while (RFC 9112 section 9.6).
  asio::awaitable<void> End() {
    if (answer_.phase == Phase::kAborted && answer_.framing == BodyFraming::kUntilClose) {
      ResetOnClose(stream_);  // an orderly end would look like a whole answer
    } else if ((linger_ || input_begin_ < input_.size()) && !input_ended_) {
      discarding_ = true;
      Consume(input_.size() - input_begin_);
      ShutdownSend(stream_);
      const absl::Time deadline = After(limits_.linger_time);
      bool woken = true;
      while (woken && !input_ended_ && !closed_) woken = co_await Wait(deadline);
    }
    Close();
  }

  void Consume(size_t bytes) {
    input_begin_ += bytes;
    if (input_begin_ == input_.size()) {
      input_.clear();
      input_begin_ = 0;
    } else if (input_begin_ >= kReadBytes) {
      input_.erase(0, input_begin_);
      input_begin_ = 0;
    }
    reader_timer_.cancel();
  }

  absl::Time After(absl::Duration duration) const { return thread_.clock.Now() + duration; }

  // Serve sleeps here. True when woken, false when `deadline` passed first.
  asio::awaitable<bool> Wait(absl::Time deadline) {
    if (!wake_pending_) {
      const absl::Duration left = deadline - thread_.clock.Now();
      timer_.expires_after(absl::ToChronoNanoseconds(std::min(left, kLongestWait)));
      co_await timer_.async_wait(kAwait);
    }
    co_return std::exchange(wake_pending_, false);
  }
  void Wake() {
    wake_pending_ = true;
    timer_.cancel();
  }

  ResponseHead MakeHead(int status, std::string_view content_type) {
    if (thread_.draining) keep_alive_ = false;
    const absl::Time now = thread_.clock.WallNow();
    if (const int64_t second = absl::ToUnixSeconds(now); second != thread_.date_second) {
      thread_.date_second = second;
      thread_.date = FormatHttpDate(now);
    }
    ResponseHead head;
    head.status = status;
    head.http_version = answer_.http_version;
    head.content_type = content_type;
    head.keep_alive = keep_alive_;
    head.any_origin = origin_.any_origin;
    head.date = thread_.date;
    head.request_id = answer_.request_id;
    return head;
  }

  HttpThreadState& thread_;
  const HttpLimits& limits_;
  const ConnectionOrigin origin_;
  Stream stream_;
  asio::steady_timer timer_;         // Serve's sleep
  asio::steady_timer reader_timer_;  // ReadLoop's wait for room in input_
  asio::steady_timer write_timer_;

  std::string input_;  // read and, from input_begin_, not yet parsed
  size_t input_begin_ = 0;
  bool input_ended_ = false;
  bool discarding_ = false;
  std::optional<http::request_parser<http::string_body>> parser_;

  Answer answer_;
  std::unique_ptr<HttpOperation> operation_;
  bool answering_ = false;
  std::string outbox_;   // to be written
  std::string writing_;  // being written
  bool keep_alive_ = true;
  bool linger_ = false;
  bool wake_pending_ = false;
  bool closed_ = false;
};

}  // namespace

void ServeTcpConnection(asio::io_context& context, int descriptor, bool is_v6,
                        ConnectionOrigin origin, HttpThreadState& thread) {
  asio::ip::tcp::socket socket(context);
  error_code error;
  socket.assign(is_v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), descriptor, error);
  CHECK(!error);
  // Tokens are small writes that must not wait for one another.
  socket.set_option(asio::ip::tcp::no_delay(true), error);
  std::make_shared<StreamConnection<asio::ip::tcp::socket>>(std::move(socket), std::move(origin),
                                                            thread)
      ->Start();
}

}  // namespace spillway
