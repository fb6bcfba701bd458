#include "server/http/http_pool.h"

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/http_server.h"
#include "server/http/route_table.h"
#include "server/http/tls_client.h"
#include "tests/support/scripted_server.h"
#include "tests/support/socket_dir.h"
#include "tests/support/test_certificate.h"

namespace spillway {
namespace {

using Peer = ScriptedServer::Peer;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kHello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

// Happens once.
class Signal {
 public:
  void Notify() { promise_.set_value(); }
  void Wait() const { future_.wait(); }
  bool WaitFor(absl::Duration most) const {
    return future_.wait_for(absl::ToChronoNanoseconds(most)) == std::future_status::ready;
  }

 private:
  std::promise<void> promise_;
  const std::shared_future<void> future_ = promise_.get_future().share();
};

// What one exchange said, on the pool's thread, until its end.
class Heard : public ExchangeSink {
 public:
  void OnHead(const ResponseReader& head) override { status = head.status(); }
  void OnBody(std::string_view bytes) override {
    body += bytes;
    if (on_body) on_body();
  }
  void OnEnd() override {
    whole = true;
    ended.Notify();
  }
  void OnBroken(const absl::Status& why_broken) override {
    why = why_broken;
    ended.Notify();
  }

  std::function<void()> on_body;
  int status = 0;
  std::string body;
  bool whole = false;
  absl::Status why;
  Signal ended;
  std::unique_ptr<HttpExchange> exchange;
};

class HttpPoolTest : public ::testing::Test {
 protected:
  HttpPoolTest() : routes_([](HttpRequest&, TokenRule) { return std::nullopt; }, nullptr) {
    std::signal(SIGPIPE, SIG_IGN);
  }
  ~HttpPoolTest() override { Stop(); }

  void Stop() {
    if (server_ != nullptr) server_->Stop();
    heard_.clear();
  }

  // A pool in front of what listens at `port`, on a thread that runs.
  void Connect(int port, HttpPoolLimits limits = {}, TlsCredentials::Context tls = nullptr,
               const std::string& host = "127.0.0.1") {
    HttpServerOptions options;
    server_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    server_->SetHandler(0, routes_);
    BaseUrl url = {.tls = tls != nullptr, .host = host, .port = absl::StrCat(port), .path = "/v1"};
    pool_ = &server_->AddPool(0, {.url = std::move(url),
                                  .headers = {{"Authorization", "Bearer sk-theirs"}},
                                  .limits = limits,
                                  .tls = std::move(tls)});
    EXPECT_TRUE(server_->Start().ok());
    post_ = server_->Poster(0);
  }

  void OnThread(const std::function<void()>& run) {
    Signal done;
    post_([&] {
      run();
      done.Notify();
    });
    done.Wait();
  }

  Heard& Begin(const std::string& body = "{}") {
    heard_.push_back(std::make_unique<Heard>());
    Heard& heard = *heard_.back();
    OnThread([&] { heard.exchange = pool_->Begin("/chat", body, heard); });
    return heard;
  }
  Heard& Ask(const std::string& body = "{}") {
    Heard& heard = Begin(body);
    EXPECT_TRUE(heard.ended.WaitFor(absl::Seconds(20)));
    return heard;
  }

  SystemClock clock_;
  MetricRegistry metrics_;
  RouteTable routes_;
  std::unique_ptr<HttpServer> server_;
  HttpPool* pool_ = nullptr;
  std::function<void(std::function<void()>)> post_;
  std::vector<std::unique_ptr<Heard>> heard_;
};

TEST_F(HttpPoolTest, SendsWhatItIsGivenAndKeepsTheConnection) {
  std::string first_request;
  ScriptedServer server([&](const Peer& peer) {
    if (peer.request == 0) first_request = peer.text;
    peer.Send(kHello);
    return true;
  });
  Connect(server.port());
  for (int i = 0; i < 3; ++i) {
    const Heard& heard = Ask(R"({"a":1})");
    EXPECT_TRUE(heard.whole);
    EXPECT_EQ(heard.status, 200);
    EXPECT_EQ(heard.body, "hello");
  }
  EXPECT_EQ(server.accepted(), 1);
  EXPECT_EQ(first_request,
            absl::StrCat("POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:", server.port(),
                         "\r\nUser-Agent: spillway\r\nAccept-Encoding: identity\r\n"
                         "Authorization: Bearer sk-theirs\r\nContent-Type: application/json\r\n"
                         "Content-Length: 7\r\n\r\n{\"a\":1}"));
}

TEST_F(HttpPoolTest, AConnectionOfWhichSomethingIsWrongIsNotUsedAgain) {
  for (const char* answer : {
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
           "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n0\r\n\r\n",
       }) {
    ScriptedServer server([&](const Peer& peer) {
      peer.Send(answer);
      return true;
    });
    Connect(server.port());
    EXPECT_EQ(Ask().body, "hello") << answer;
    EXPECT_EQ(Ask().body, "hello") << answer;
    EXPECT_EQ(server.accepted(), 2) << answer;
    Stop();
  }
}

TEST_F(HttpPoolTest, AnAnswerUntilTheEndOfTheConnection) {
  ScriptedServer server([&](const Peer& peer) {
    peer.Send("HTTP/1.1 200 OK\r\n\r\nhello");
    return false;
  });
  Connect(server.port());
  EXPECT_TRUE(Ask().whole);
}

// ---- what breaks ----

TEST_F(HttpPoolTest, CutAfterEachByteItIsNeverWhole) {
  const std::string answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2\r\n, \r\n0\r\n\r\n";
  std::atomic<size_t> cut = 0;
  ScriptedServer server([&](const Peer& peer) {
    peer.Send(answer.substr(0, cut));
    if (cut % 2 == 1) peer.Reset();
    return false;
  });
  Connect(server.port());
  for (; cut < answer.size(); ++cut) {
    const Heard& heard = Ask();
    EXPECT_FALSE(heard.whole) << cut;
    EXPECT_EQ(heard.why.code(), absl::StatusCode::kDataLoss) << cut << heard.why;
    EXPECT_THAT(std::string("hello, "), StartsWith(heard.body)) << cut;
  }
  EXPECT_TRUE(Ask().whole);
}

TEST_F(HttpPoolTest, ByteAfterByteItIsTheSame) {
  const std::string answer =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n2\r\n, \r\n0\r\n\r\n";
  ScriptedServer server([&](const Peer& peer) {
    for (const char byte : answer) peer.Send({&byte, 1});
    return true;
  });
  Connect(server.port());
  for (int i = 0; i < 3; ++i) {
    const Heard& heard = Ask();
    EXPECT_EQ(heard.status, 429);
    EXPECT_EQ(heard.body, "hello, ");
    EXPECT_TRUE(heard.whole);
  }
  EXPECT_EQ(server.accepted(), 1);
}

TEST_F(HttpPoolTest, GarbageIsNoAnswer) {
  for (const std::string& garbage :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string(100'000, 'x'),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        std::string("HTTP/1.1 101 Switching\r\n\r\n")}) {
    ScriptedServer server([&](const Peer& peer) {
      peer.Send(garbage);
      return !peer.AwaitClose();
    });
    Connect(server.port());
    EXPECT_EQ(Ask().why.code(), absl::StatusCode::kInvalidArgument) << garbage.substr(0, 80);
    Stop();
  }
}

TEST_F(HttpPoolTest, EndlessInterimAnswersAreNone) {
  ScriptedServer server([&](const Peer& peer) {
    for (int i = 0; i < 20; ++i) peer.Send("HTTP/1.1 100 Continue\r\n\r\n");
    return !peer.AwaitClose();
  });
  Connect(server.port());
  EXPECT_EQ(Ask().why.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HttpPoolTest, NobodyThere) {
  int port = 0;
  {
    const ScriptedServer gone([](const Peer&) { return false; });
    port = gone.port();
  }
  Connect(port);
  const Heard& heard = Ask();
  EXPECT_EQ(heard.why.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(heard.why.message()), HasSubstr("Connection refused"));
}

TEST_F(HttpPoolTest, SilenceEndsIt) {
  ScriptedServer server([](const Peer& peer) {
    if (peer.request == 1) peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    return !peer.AwaitClose();
  });
  HttpPoolLimits limits;
  limits.silence_max = absl::Milliseconds(50);
  Connect(server.port(), limits);
  EXPECT_EQ(Ask().why.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server.accepted(), 1);
}

// ---- reuse ----

TEST_F(HttpPoolTest, AReusedConnectionThatBreaksBeforeAnAnswerIsReplacedOnce) {
  std::atomic<int> requests = 0;
  ScriptedServer server([&](const Peer& peer) {
    ++requests;
    if (peer.request == 1) return false;  // as a server whose time for idle connections is over
    peer.Send(kHello);
    return true;
  });
  Connect(server.port());
  EXPECT_TRUE(Ask().whole);
  EXPECT_TRUE(Ask().whole);
  EXPECT_EQ(server.accepted(), 2);
  EXPECT_EQ(requests, 3);
}

TEST_F(HttpPoolTest, AFreshConnectionThatBreaksIsNotTriedAgain) {
  std::atomic<int> requests = 0;
  ScriptedServer server([&](const Peer& peer) {
    ++requests;
    if (peer.connection > 0 || peer.request > 0) return false;
    peer.Send(kHello);
    return true;
  });
  Connect(server.port());
  EXPECT_TRUE(Ask().whole);
  EXPECT_EQ(Ask().why.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(requests, 3);
}

TEST_F(HttpPoolTest, AReusedConnectionThatBreaksWithinAnAnswerIsNotTriedAgain) {
  std::atomic<int> requests = 0;
  ScriptedServer server([&](const Peer& peer) {
    ++requests;
    peer.Send(peer.request == 0 ? kHello : kHello.substr(0, 1));
    return peer.request == 0;
  });
  Connect(server.port());
  EXPECT_TRUE(Ask().whole);
  EXPECT_FALSE(Ask().whole);
  EXPECT_EQ(requests, 2);
}

TEST_F(HttpPoolTest, AnIdleConnectionGoesWhenItsTimeIsOver) {
  ScriptedServer server([](const Peer& peer) {
    peer.Send(kHello);
    return true;
  });
  HttpPoolLimits limits;
  limits.idle_time = absl::Milliseconds(20);
  Connect(server.port(), limits);
  EXPECT_TRUE(Ask().whole);
  size_t connections = 1;
  while (connections > 0) OnThread([&] { connections = pool_->connections(); });
  EXPECT_TRUE(Ask().whole);
  EXPECT_EQ(server.accepted(), 2);
}

// ---- limits ----

TEST_F(HttpPoolTest, BeyondItsConnectionsTheyWaitAndBeyondThatTheyAreRefused) {
  Signal go;
  ScriptedServer server([&](const Peer& peer) {
    go.Wait();
    peer.Send(kHello);
    return true;
  });
  HttpPoolLimits limits;
  limits.connections_max = 2;
  limits.waiting_max = 1;
  Connect(server.port(), limits);
  Heard& first = Begin();
  Heard& second = Begin();
  Heard& waits = Begin();
  EXPECT_EQ(Ask().why.code(), absl::StatusCode::kResourceExhausted);
  go.Notify();
  for (Heard* each : {&first, &second, &waits}) {
    each->ended.Wait();
    EXPECT_TRUE(each->whole);
  }
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(HttpPoolTest, WaitingForAConnectionEnds) {
  ScriptedServer server([](const Peer& peer) { return !peer.AwaitClose(); });
  HttpPoolLimits limits;
  limits.connections_max = 1;
  limits.wait_max = absl::Milliseconds(20);
  Connect(server.port(), limits);
  Begin();
  EXPECT_EQ(Ask().why.code(), absl::StatusCode::kUnavailable);
}

TEST_F(HttpPoolTest, CancelledItClosesTheConnectionAndMakesRoom) {
  std::atomic<int> closed = 0;
  ScriptedServer server([&](const Peer& peer) {
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    if (peer.AwaitClose()) ++closed;
    return false;
  });
  HttpPoolLimits limits;
  limits.connections_max = 1;
  Connect(server.port(), limits);
  // From within its own call, then before anything has come, then while it waits.
  heard_.push_back(std::make_unique<Heard>());
  Heard& within = *heard_.back();
  Signal gone;
  within.on_body = [&] {
    within.exchange.reset();
    gone.Notify();
  };
  OnThread([&] { within.exchange = pool_->Begin("/chat", "{}", within); });
  gone.Wait();
  Heard& early = Begin();
  Heard& waiting = Begin();
  size_t connections = 0;
  size_t still_waiting = 0;
  OnThread([&] {
    waiting.exchange.reset();
    early.exchange.reset();
    connections = pool_->connections();
    still_waiting = pool_->waiting();
  });
  EXPECT_EQ(connections, 0u);
  EXPECT_EQ(still_waiting, 0u);
  while (closed < 1) {
  }
  EXPECT_FALSE(within.ended.WaitFor(absl::ZeroDuration()) ||
               early.ended.WaitFor(absl::ZeroDuration()));
}

// A stream whose last event the client has, and what HTTP says behind it comes later, or never.
TEST_F(HttpPoolTest, LetGoItKeepsTheConnectionWhereTheEndComes) {
  for (const bool comes : {true, false}) {
    Signal go;
    ScriptedServer server([&](const Peer& peer) {
      peer.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
      if (peer.connection + peer.request > 0) return !peer.AwaitClose();
      go.Wait();
      if (comes) peer.Send("0\r\n\r\n");
      return comes || !peer.AwaitClose();
    });
    HttpPoolLimits limits;
    limits.let_go_time = absl::Milliseconds(comes ? 20'000 : 20);
    Connect(server.port(), limits);
    heard_.push_back(std::make_unique<Heard>());
    Heard& first = *heard_.back();
    Signal let_go;
    first.on_body = [&] {
      first.exchange->LetGo();
      first.exchange.reset();
      let_go.Notify();
    };
    OnThread([&] { first.exchange = pool_->Begin("/chat", "{}", first); });
    let_go.Wait();
    go.Notify();
    const auto settled = [&] {
      bool settled_now = false;
      OnThread([&] {
        settled_now = comes ? pool_->idle_connections() == 1 : pool_->connections() == 0;
      });
      return settled_now;
    };
    while (!settled()) {
    }
    EXPECT_FALSE(first.ended.WaitFor(absl::ZeroDuration()));
    Begin();
    size_t connections = 0;
    OnThread([&] { connections = pool_->connections(); });
    EXPECT_EQ(connections, 1u);
    Stop();
    EXPECT_LE(server.accepted(), comes ? 1 : 2);
  }
}

TEST_F(HttpPoolTest, PausedItLetsTheServerWait) {
  constexpr size_t kBytes = 64 << 20;
  std::atomic<size_t> sent = 0;
  ScriptedServer server([&](const Peer& peer) {
    peer.Send(absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", kBytes, "\r\n\r\n"));
    const std::string piece(64 << 10, 'x');
    for (size_t i = 0; i < kBytes; i += piece.size()) {
      peer.Send(piece);
      sent += piece.size();
    }
    return true;
  });
  HttpPoolLimits limits;
  limits.silence_max = absl::Milliseconds(100);
  Connect(server.port(), limits);
  heard_.push_back(std::make_unique<Heard>());
  Heard& heard = *heard_.back();
  Signal paused;
  heard.on_body = [&] {
    heard.exchange->Pause();
    heard.on_body = nullptr;
    paused.Notify();
  };
  OnThread([&] { heard.exchange = pool_->Begin("/chat", "{}", heard); });
  paused.Wait();
  // The kernel's buffers fill up, and no silence ends what we ourselves keep waiting.
  size_t before = 1;
  while (before != sent) {
    before = sent;
    EXPECT_FALSE(heard.ended.WaitFor(absl::Milliseconds(150)));
  }
  EXPECT_LT(sent, kBytes);
  OnThread([&] { heard.exchange->Resume(); });
  heard.ended.Wait();
  EXPECT_EQ(heard.body.size(), kBytes) << heard.why;
}

TEST_F(HttpPoolTest, AnAnswerBeforeTheRequestHasBeenReadIsHeard) {
  // What is not read: a server of bare sockets that answers at once.
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::listen(listener, 1);
  socklen_t length = sizeof(address);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  std::thread thread([&] {
    const int descriptor = ::accept(listener, nullptr, nullptr);
    const std::string_view refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    ::send(descriptor, refusal.data(), refusal.size(), MSG_NOSIGNAL);
    char bytes[1024];
    while (::recv(descriptor, bytes, sizeof(bytes), 0) > 0) {
    }
    ::close(descriptor);
  });
  Connect(ntohs(address.sin_port));
  const Heard& heard = Ask(std::string(30 << 20, 'x'));
  EXPECT_EQ(heard.status, 413);
  EXPECT_EQ(heard.body, "no");
  size_t connections = 1;
  OnThread([&] { connections = pool_->connections(); });
  EXPECT_EQ(connections, 0u);
  thread.join();
  ::close(listener);
}

// ---- TLS ----

class HttpPoolTlsTest : public HttpPoolTest {
 protected:
  HttpPoolTlsTest() {
    WriteTestCertificate(folder_.Path("cert"), folder_.Path("key"));
    HttpServerOptions options;
    options.listeners.push_back(
        {.address = "127.0.0.1:0",
         .tls = TlsCredentials::Load({folder_.Path("cert"), folder_.Path("key")}).value()});
    peer_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    peer_routes_.Add(
        {"POST", "/v1/chat", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
           writer.Send({.body = std::string(request.body)});
           return nullptr;
         }});
    peer_->SetHandler(0, peer_routes_);
    EXPECT_TRUE(peer_->Start().ok());
    const std::string address = peer_->bound_addresses().at(0);
    port_ = std::atoi(address.c_str() + address.rfind(':') + 1);
  }
  ~HttpPoolTlsTest() override {
    ::unsetenv("SSL_CERT_FILE");
    Stop();
    peer_->Stop();
  }

  SocketDir folder_;
  RouteTable peer_routes_{[](HttpRequest&, TokenRule) { return std::nullopt; }, nullptr};
  std::unique_ptr<HttpServer> peer_;
  int port_ = 0;
};

TEST_F(HttpPoolTlsTest, TrustsWhomItIsToldTo) {
  ::setenv("SSL_CERT_FILE", folder_.Path("cert").c_str(), 1);
  Connect(port_, {}, MakeTlsClientContext(), "localhost");
  const std::string body(2 << 20, 'x');
  for (int i = 0; i < 2; ++i) {
    const Heard& heard = Ask(body);
    EXPECT_TRUE(heard.whole) << heard.why;
    EXPECT_EQ(heard.body, body);
  }
}

TEST_F(HttpPoolTlsTest, NobodyElse) {
  Connect(port_, {}, MakeTlsClientContext(), "localhost");
  const Heard& stranger = Ask();
  EXPECT_EQ(stranger.why.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(stranger.why.message()), HasSubstr("not trusted: self-signed"));
  Stop();
  ::setenv("SSL_CERT_FILE", folder_.Path("cert").c_str(), 1);
  Connect(port_, {}, MakeTlsClientContext(), "127.0.0.1");
  EXPECT_THAT(std::string(Ask().why.message()), HasSubstr("mismatch"));
}

TEST_F(HttpPoolTlsTest, AServerThatSpeaksNone) {
  ScriptedServer plain([](const Peer&) { return false; });
  Connect(plain.port(), {.connect_max = absl::Milliseconds(50)}, MakeTlsClientContext());
  EXPECT_EQ(Ask().why.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace spillway
