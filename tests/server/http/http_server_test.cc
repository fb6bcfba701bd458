#include "server/http/http_server.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/route_table.h"
#include "tests/support/socket_client.h"

namespace spillway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n";
}
std::string Post(const std::string& path, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// What a held request says of its end.
struct HeldState {
  std::promise<ResponseWriter*> started;
  std::promise<void> destroyed;
  std::atomic<bool> is_destroyed = false;
};

// A request that waits until the test writes its answer.
class HeldOperation : public HttpOperation {
 public:
  HeldOperation(HeldState& state, ResponseWriter& writer) : state_(state) {
    state_.started.set_value(&writer);
  }
  ~HeldOperation() override {
    state_.is_destroyed = true;
    state_.destroyed.set_value();
  }

 private:
  HeldState& state_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void StartServer(HttpLimits limits = {}, const std::string& listen = "127.0.0.1:0") {
    HttpServerOptions options;
    options.listeners = {{.address = listen}};
    options.limits = limits;
    server_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    AddRoutes();
    server_->SetHandler(0, routes_);
    const absl::Status status = server_->Start();
    ASSERT_TRUE(status.ok()) << status;
    address_ = server_->bound_addresses().at(0);
  }

  void AddRoutes() {
    routes_.Add({"GET", "/hello", TokenRule::kNever, [](HttpRequest&, ResponseWriter& writer) {
                   writer.Send({.content_type = "text/plain", .headers = {}, .body = "hello"});
                   return nullptr;
                 }});
    routes_.Add(
        {"POST", "/echo", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
           writer.Send({.headers = {}, .body = std::string(request.body)});
           return nullptr;
         }});
    routes_.Add(
        {"GET", "/path/*", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
           writer.Send({.headers = {}, .body = request.path_rest + "?" + request.query});
           return nullptr;
         }});
    routes_.Add(
        {"GET", "/address", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
           writer.Send({.headers = {}, .body = request.local_address});
           return nullptr;
         }});
    routes_.Add({"GET", "/held", TokenRule::kNever, [this](HttpRequest&, ResponseWriter& writer) {
                   return std::make_unique<HeldOperation>(held_, writer);
                 }});
  }

  ResponseWriter* WaitForHeld() { return held_.started.get_future().get(); }
  bool WaitForDestroyed() {
    return held_.destroyed.get_future().wait_for(std::chrono::seconds(10)) ==
           std::future_status::ready;
  }
  // Runs `function` on the server's thread and waits for it and for what it woke.
  void OnServer(std::function<void()> function) {
    std::promise<void> done;
    const auto post = server_->Poster(0);
    post([&] {
      function();
      post([&] { done.set_value(); });
    });
    done.get_future().wait();
  }

  SystemClock clock_;
  MetricRegistry metrics_;
  HeldState held_;
  RouteTable routes_{[](HttpRequest&, TokenRule) { return std::nullopt; },
                     [](int status, std::string_view code, std::string_view message) {
                       return HttpResponse{.status = status,
                                           .headers = {},
                                           .body = std::string(code) + ": " + std::string(message)};
                     }};
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  StartServer();
  SocketClient client(address_);
  for (int i = 0; i < 3; ++i) {
    client.Send(Get("/hello"));
    const std::string response = client.ReadResponse();
    EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(response, HasSubstr("Content-Type: text/plain\r\nContent-Length: 5\r\n"));
    EXPECT_THAT(response, HasSubstr("x-request-id: "));
    EXPECT_THAT(response, EndsWith("\r\n\r\nhello"));
  }
}

TEST_F(HttpServerTest, KnowsTheAddressThatItWasAskedAt) {
  StartServer({}, "0.0.0.0:0");
  const std::string port = address_.substr(address_.rfind(':'));
  for (const std::string host : {"127.0.0.1", "127.0.0.2"}) {
    SocketClient client(host + port);
    client.Send(Get("/address"));
    EXPECT_THAT(client.ReadResponse(), EndsWith("\r\n\r\n" + host + port));
  }
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  StartServer();
  SocketClient client(address_);
  client.Send(Post("/echo", "one") + Get("/hello") + Post("/echo", "three"));
  EXPECT_THAT(client.ReadResponse(), EndsWith("\r\n\r\none"));
  EXPECT_THAT(client.ReadResponse(), EndsWith("\r\n\r\nhello"));
  EXPECT_THAT(client.ReadResponse(), EndsWith("\r\n\r\nthree"));
}

TEST_F(HttpServerTest, Http10ClosesUnlessAskedToKeep) {
  StartServer();
  SocketClient closing(address_);
  closing.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_THAT(closing.ReadToEnd(), StartsWith("HTTP/1.0 200 OK\r\n"));
  SocketClient keeping(address_);
  keeping.Send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(keeping.ReadResponse(), HasSubstr("Connection: keep-alive\r\n"));
  keeping.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_THAT(keeping.ReadToEnd(), EndsWith("hello"));
}

TEST_F(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  StartServer();
  SocketClient client(address_);
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_THAT(client.ReadResponse(), EndsWith("\r\n\r\nbody"));
}

TEST_F(HttpServerTest, PathsAreTidiedAndMatched) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("//path//org/model%3Atag/?a=b"));
  EXPECT_THAT(client.ReadResponse(), EndsWith("\r\n\r\norg/model:tag?a=b"));
}

TEST_F(HttpServerTest, UnknownPathWrongMethodAndOptions) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/nowhere"));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 404"));
  client.Send(Post("/hello", ""));
  const std::string wrong = client.ReadResponse();
  EXPECT_THAT(wrong, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(wrong, HasSubstr("Allow: GET, HEAD, OPTIONS\r\n"));
  client.Send("OPTIONS /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string options = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(options, StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(options, HasSubstr("x-stainless-retry-count"));
  EXPECT_THAT(options, Not(HasSubstr("Content-Length")));
}

TEST_F(HttpServerTest, RequestIdIsRepeatedIfFit) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/hello", "X-Request-Id: mine-1\r\n"));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("x-request-id: mine-1\r\n"));
  client.Send(Get("/hello", "X-Request-Id: " + std::string(200, 'a') + "\r\n"));
  EXPECT_THAT(client.ReadResponse(), Not(HasSubstr("aaaa")));
}

TEST_F(HttpServerTest, TooBigHeadAndBody) {
  HttpLimits limits;
  limits.head_bytes_max = 1000;
  limits.body_bytes_max = 10;
  StartServer(limits);
  SocketClient head(address_);
  head.Send(Get("/hello", "X: " + std::string(2000, 'a') + "\r\n"));
  EXPECT_THAT(head.ReadToEnd(), StartsWith("HTTP/1.1 431"));
  SocketClient body(address_);
  body.Send(Post("/echo", std::string(11, 'a')));
  EXPECT_THAT(body.ReadToEnd(), StartsWith("HTTP/1.1 413"));
  SocketClient chunked(address_);
  chunked.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n"
      "6\r\nworld!\r\n0\r\n\r\n");
  EXPECT_THAT(chunked.ReadToEnd(), StartsWith("HTTP/1.1 413"));
  SocketClient fits(address_);
  fits.Send(Post("/echo", std::string(10, 'a')));
  EXPECT_THAT(fits.ReadResponse(), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, RefusalArrivesThoughTheClientIsStillSending) {
  HttpLimits limits;
  limits.body_bytes_max = 10;
  StartServer(limits);
  SocketClient client(address_);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
  client.Send(std::string(3'000'000, 'a'));
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 413"));
  EXPECT_FALSE(client.was_reset());
}

TEST_F(HttpServerTest, RefusedBodyThatComesLaterIsReadAway) {
  HttpLimits limits;
  limits.body_bytes_max = 10;
  StartServer(limits);
  SocketClient client(address_);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 413"));
  client.Send(std::string(1000, 'a'));
  client.ReadToEnd();
  EXPECT_FALSE(client.was_reset());
}

TEST_F(HttpServerTest, MalformedRequests) {
  StartServer();
  const auto status_of = [&](const std::string& bytes) {
    SocketClient client(address_);
    client.Send(bytes);
    const std::string response = client.ReadToEnd();
    return response.size() < 12 ? response : response.substr(9, 3);
  };
  EXPECT_EQ(status_of("nonsense\r\n\r\n"), "400");
  EXPECT_EQ(status_of("GET /hello HTTP/1.1\r\n\r\n"), "400");
  EXPECT_EQ(status_of("GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), "400");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "400");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"), "501");
  EXPECT_EQ(
      status_of("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: magic\r\n\r\n"),
      "417");
}

TEST_F(HttpServerTest, SlowHeadTimesOut) {
  HttpLimits limits;
  limits.head_time = absl::Milliseconds(30);
  StartServer(limits);
  SocketClient client(address_);
  client.Send("GET /hello HT");
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 408"));
}

TEST_F(HttpServerTest, IdleConnectionIsClosedInSilence) {
  HttpLimits limits;
  limits.idle_time = absl::Milliseconds(30);
  StartServer(limits);
  SocketClient client(address_);
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(HttpServerTest, ConnectionsOverTheLimitAreRefusedIfAllAreBusy) {
  HttpLimits limits;
  limits.connections_max = 1;
  StartServer(limits);
  SocketClient first(address_);
  first.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  SocketClient second(address_);
  EXPECT_THAT(second.ReadToEnd(), StartsWith("HTTP/1.1 503"));
  OnServer([&] { writer->Send({.headers = {}, .body = "first"}); });
  EXPECT_THAT(first.ReadResponse(), EndsWith("first"));
}

TEST_F(HttpServerTest, IdleConnectionsMakeRoomForNewOnes) {
  HttpLimits limits;
  limits.connections_max = 2;
  StartServer(limits);
  SocketClient oldest(address_);
  oldest.Send(Get("/hello"));
  oldest.ReadResponse();
  SocketClient loris(address_);
  loris.Send("GET /");
  SocketClient first(address_);
  first.Send(Get("/hello"));
  EXPECT_THAT(first.ReadResponse(), EndsWith("hello"));
  SocketClient second(address_);
  second.Send(Get("/hello"));
  EXPECT_THAT(second.ReadResponse(), EndsWith("hello"));
  EXPECT_EQ(oldest.ReadToEnd(), "");
  EXPECT_EQ(loris.ReadToEnd(), "");
}

// Takes every descriptor that this process may have, and gives them back.
class DescriptorHog {
 public:
  DescriptorHog() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 256;
    CHECK(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    while (true) {
      const int descriptor = ::dup(0);
      if (descriptor < 0) break;
      taken_.push_back(descriptor);
    }
  }
  ~DescriptorHog() {
    Release();
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  void Release() {
    for (const int descriptor : taken_) ::close(descriptor);
    taken_.clear();
  }

 private:
  rlimit before_;
  std::vector<int> taken_;
};

TEST_F(HttpServerTest, AcceptsAgainWhenThereAreDescriptorsAgain) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan opens a pipe to look at a class it sees first; here no descriptor is left";
#endif
  StartServer();
  SocketClient before(address_);
  before.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  // Its descriptor is there before the last one is taken; the kernel completes the connection.
  const int late = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  DescriptorHog hog;
  SocketClient client(address_, /*receive_buffer=*/0, late);
  client.Send(Get("/hello"));
  while (metrics_.Scrape().find("spillway_http_accept_failures_total 0") != std::string::npos) {
    std::this_thread::yield();
  }
  OnServer([&] { writer->Send({.headers = {}, .body = "goes on"}); });
  EXPECT_THAT(before.ReadResponse(), EndsWith("goes on"));
  hog.Release();
  EXPECT_THAT(client.ReadResponse(), EndsWith("hello"));
}

TEST_F(HttpServerTest, IdleConnectionGivesItsDescriptorToANewOne) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan opens a pipe to look at a class it sees first; here no descriptor is left";
#endif
  StartServer();
  SocketClient idle(address_);
  idle.Send(Get("/hello"));
  idle.ReadResponse();
  const int late = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  DescriptorHog hog;
  SocketClient client(address_, /*receive_buffer=*/0, late);
  client.Send(Get("/hello"));
  EXPECT_THAT(client.ReadResponse(), EndsWith("hello"));
  EXPECT_EQ(idle.ReadToEnd(), "");
}

TEST_F(HttpServerTest, StreamLeavesAsChunksAndEnds) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {{"Cache-Control", "no-cache"}});
    writer->Write("data: 1\n\n");
    writer->Write("data: 2\n\n");
    writer->Flush();
  });
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head, HasSubstr("Cache-Control: no-cache\r\n"));
  EXPECT_EQ(client.ReadUntil("2\n\n\r\n"), "12\r\ndata: 1\n\ndata: 2\n\n\r\n");
  OnServer([&] {
    writer->Write("data: 3\n\n");
    writer->EndStream();
  });
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "9\r\ndata: 3\n\n\r\n0\r\n\r\n");
  EXPECT_TRUE(WaitForDestroyed());
  client.Send(Get("/hello"));
  EXPECT_THAT(client.ReadResponse(), EndsWith("hello"));
}

TEST_F(HttpServerTest, BrokenStreamHasNoLastChunk) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {});
    writer->Write("data: error\n\n");
    writer->AbortStream();
  });
  const std::string all = client.ReadToEnd();
  EXPECT_THAT(all, EndsWith("d\r\ndata: error\n\n\r\n"));
  EXPECT_TRUE(WaitForDestroyed());
}

TEST_F(HttpServerTest, StreamToHttp10EndsWithTheConnectionAndBreaksWithAReset) {
  StartServer();
  SocketClient client(address_);
  client.Send("GET /held HTTP/1.0\r\n\r\n");
  ResponseWriter* writer = WaitForHeld();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {});
    writer->Write("data: 1\n\n");
    writer->Flush();
  });
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_THAT(head, Not(HasSubstr("chunked")));
  EXPECT_EQ(client.ReadUntil("\n\n"), "data: 1\n\n");
  OnServer([&] { writer->AbortStream(); });
  client.ReadToEnd();
  EXPECT_TRUE(client.was_reset());
}

TEST_F(HttpServerTest, ClientThatHangsUpDuringAStreamEndsTheOperation) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {});
    writer->Flush();
  });
  client.ReadUntil("\r\n\r\n");
  client.Close();
  EXPECT_TRUE(WaitForDestroyed());
}

TEST_F(HttpServerTest, ClientThatHangsUpWhileWaitingEndsTheOperation) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/held"));
  WaitForHeld();
  client.Close();
  EXPECT_TRUE(WaitForDestroyed());
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_http_clients_gone_total 1"));
}

TEST_F(HttpServerTest, ClientThatDoesNotReadIsCut) {
  HttpLimits limits;
  limits.unsent_bytes_max = 1 << 20;
  StartServer(limits);
  SocketClient client(address_, /*receive_buffer=*/4096);
  client.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  OnServer([&] { writer->BeginStream("text/event-stream", {}); });
  const std::string events(256 << 10, 'x');
  // What the kernel takes is unknown but bounded; one more is written than can be needed.
  for (int i = 0; i < 200 && !held_.is_destroyed; ++i) {
    OnServer([&] {
      if (held_.is_destroyed) return;
      writer->Write(events);
      writer->Flush();
    });
  }
  EXPECT_TRUE(WaitForDestroyed());
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("spillway_http_clients_cut_total{reason=\"unsent_bytes\"} 1"));
}

TEST_F(HttpServerTest, WriteThatTakesTooLongIsCut) {
  HttpLimits limits;
  limits.write_pace.stall_max = absl::Milliseconds(50);
  limits.unsent_bytes_max = 64u << 20;
  StartServer(limits);
  SocketClient client(address_, /*receive_buffer=*/4096);
  client.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {});
    writer->Write(std::string(32u << 20, 'x'));
    writer->Flush();
  });
  EXPECT_TRUE(WaitForDestroyed());
}

TEST_F(HttpServerTest, DrainingLetsARunningAnswerEnd) {
  StartServer();
  SocketClient idle(address_);
  idle.Send(Get("/hello"));
  idle.ReadResponse();
  SocketClient client(address_);
  client.Send(Get("/held"));
  ResponseWriter* writer = WaitForHeld();
  server_->StopAccepting();
  EXPECT_EQ(idle.ReadToEnd(), "");
  OnServer([&] { writer->Send({.headers = {}, .body = "last"}); });
  const std::string last = client.ReadToEnd();
  EXPECT_THAT(last, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(last, EndsWith("last"));
  EXPECT_TRUE(server_->WaitUntilIdle(absl::Seconds(10)));
}

TEST_F(HttpServerTest, StopCutsWhatIsLeft) {
  StartServer();
  SocketClient client(address_);
  client.Send(Get("/held"));
  WaitForHeld();
  EXPECT_FALSE(server_->WaitUntilIdle(absl::Milliseconds(1)));
  server_->Stop();
  EXPECT_TRUE(held_.is_destroyed);
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST_F(HttpServerTest, PortInUseIsAClearError) {
  StartServer();
  HttpServerOptions options;
  options.listeners = {{.address = address_}};
  HttpServer second(options, clock_, metrics_);
  second.SetHandler(0, routes_);
  const absl::Status status = second.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr(address_ + " is in use"));
}

TEST_F(HttpServerTest, BadAddresses) {
  for (const char* address : {"8080", "host.invalid:80", "127.0.0.1:99999", "127.0.0.1:x"}) {
    HttpServerOptions options;
    options.listeners = {{.address = address}};
    HttpServer server(options, clock_, metrics_);
    server.SetHandler(0, routes_);
    EXPECT_EQ(server.Start().code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST_F(HttpServerTest, ConnectionsSpreadOverThreadsAndAreServedByAll) {
  HttpServerOptions options;
  options.listeners = {{.address = "127.0.0.1:0"}};
  options.threads = 3;
  HttpServer server(options, clock_, metrics_);
  std::vector<std::unique_ptr<RouteTable>> tables;
  std::array<std::atomic<int>, 3> answered = {};
  for (int32_t i = 0; i < 3; ++i) {
    tables.push_back(
        std::make_unique<RouteTable>([](HttpRequest&, TokenRule) { return std::nullopt; },
                                     [](int status, std::string_view, std::string_view) {
                                       return HttpResponse{.status = status};
                                     }));
    tables.back()->Add(
        {"GET", "/", TokenRule::kNever, [&answered, i](HttpRequest&, ResponseWriter& writer) {
           ++answered[static_cast<size_t>(i)];
           writer.Send({.body = "hello"});
           return nullptr;
         }});
    server.SetHandler(i, *tables.back());
  }
  ASSERT_TRUE(server.Start().ok());
  // The kernel hashes each connection to a thread: all 60 on one has a chance of 3 ** -59.
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      for (int j = 0; j < 15; ++j) {
        SocketClient client(server.bound_addresses().at(0));
        client.Send(Get("/"));
        EXPECT_THAT(client.ReadResponse(), EndsWith("hello"));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  int threads_used = 0;
  for (const std::atomic<int>& count : answered) threads_used += count > 0;
  EXPECT_GT(threads_used, 1);
  server.Stop();
}

TEST_F(HttpServerTest, RunsThingsEveryNowAndThen) {
  HttpServerOptions options;
  options.listeners = {};
  HttpServer server(options, clock_, metrics_);
  server.SetHandler(0, routes_);
  std::promise<void> thrice;
  server.RunEvery(0, absl::Milliseconds(1), [&, count = 0]() mutable {
    if (++count == 3) thrice.set_value();
  });
  ASSERT_TRUE(server.Start().ok());
  EXPECT_EQ(thrice.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

}  // namespace
}  // namespace spillway
