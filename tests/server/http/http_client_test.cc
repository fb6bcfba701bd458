#include "server/http/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/http_server.h"
#include "server/http/route_table.h"
#include "server/http/tls_credentials.h"
#include "tests/support/socket_dir.h"
#include "tests/support/test_certificate.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

TEST(BaseUrlTest, ItsParts) {
  const auto plain = ParseBaseUrl("http://127.0.0.1:8080");
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, "8080");
  EXPECT_EQ(plain->path, "");
  const auto tls = ParseBaseUrl("https://llm.example.com/a/v1//");
  ASSERT_TRUE(tls.ok());
  EXPECT_TRUE(tls->tls);
  EXPECT_EQ(tls->port, "443");
  EXPECT_EQ(tls->path, "/a/v1");
  const auto v6 = ParseBaseUrl("http://[::1]:80/");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, "80");
  for (const char* url : {"", "localhost:8080", "ftp://x", "http://", "http://:80", "http://x:",
                          "http://x:y", "http://x:123456", "http://user:pw@x", "http://[::1",
                          "http://x/a b", "http://x/\r\nEvil: 1", "http://x/v1?key=1"}) {
    EXPECT_EQ(ParseBaseUrl(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

// Streams three pieces and breaks off where it is asked to.
class Stream : public HttpOperation {
 public:
  Stream(ResponseWriter& writer, bool breaks) : writer_(writer), breaks_(breaks) {
    writer_.BeginStream("text/event-stream", {});
    OnWake();
  }
  void OnWake() override {
    if (++pieces_ <= 3) {
      writer_.Write(absl::StrCat("piece ", pieces_, ";"));
      writer_.Flush();
      writer_.WakeAfter(absl::Milliseconds(1));
    } else if (breaks_) {
      writer_.AbortStream();
    } else {
      writer_.EndStream();
    }
  }

 private:
  ResponseWriter& writer_;
  const bool breaks_;
  int pieces_ = 0;
};

class Silence : public HttpOperation {};

class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() {
    std::signal(SIGPIPE, SIG_IGN);
    WriteTestCertificate(folder_.Path("cert"), folder_.Path("key"));
    HttpServerOptions options;
    options.listeners.push_back({.address = "127.0.0.1:0"});
    options.listeners.push_back(
        {.address = "127.0.0.1:0",
         .tls = TlsCredentials::Load({folder_.Path("cert"), folder_.Path("key")}).value()});
    server_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    routes_.Add(
        {"POST", "/v1/echo", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
           HttpResponse response = {.status = 201, .content_type = "text/plain"};
           response.body = absl::StrCat(std::string(request.Header("x-a").value_or("")), "|",
                                        std::string(request.body));
           writer.Send(response);
           return nullptr;
         }});
    for (const bool breaks : {false, true}) {
      routes_.Add({"GET", breaks ? "/v1/broken" : "/v1/stream", TokenRule::kNever,
                   [breaks](HttpRequest&, ResponseWriter& writer) {
                     return std::make_unique<Stream>(writer, breaks);
                   }});
    }
    routes_.Add({"GET", "/v1/silence", TokenRule::kNever,
                 [](HttpRequest&, ResponseWriter&) { return std::make_unique<Silence>(); }});
    server_->SetHandler(0, routes_);
    EXPECT_TRUE(server_->Start().ok());
  }
  ~HttpClientTest() override { server_->Stop(); }

  HttpClient Client(HttpClient::Options options = {}) {
    const std::string url = absl::StrCat("http://", server_->bound_addresses().at(0), "/v1");
    return HttpClient(ParseBaseUrl(url).value(), std::move(options));
  }
  HttpClient TlsClient() {
    const std::string address = server_->bound_addresses().at(1);
    return HttpClient({.tls = true,
                       .host = "localhost",
                       .port = address.substr(address.rfind(':') + 1),
                       .path = "/v1"},
                      {});
  }

  SocketDir folder_;
  SystemClock clock_;
  MetricRegistry metrics_;
  RouteTable routes_{[](HttpRequest&, TokenRule) { return std::optional<HttpResponse>(); },
                     [](int status, std::string_view, std::string_view message) {
                       return HttpResponse{
                           .status = status, .headers = {}, .body = std::string(message)};
                     }};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpClientTest, AskedAndAnswered) {
  const auto reply =
      Client().Ask({.method = "POST", .path = "/echo", .headers = {{"x-a", "b"}}, .body = "body"});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(reply->content_type, "text/plain");
  EXPECT_EQ(reply->body, "b|body");
  EXPECT_EQ(Client().Ask({.path = "/none"})->status, 404);
}

TEST_F(HttpClientTest, SinkHearsPiecesAsTheyCome) {
  std::vector<std::string> pieces;
  const auto sink = [&pieces](const HttpReply& reply, std::string_view bytes) {
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.content_type, "text/event-stream");
    pieces.emplace_back(bytes);
    return absl::OkStatus();
  };
  ASSERT_TRUE(Client().Ask({.path = "/stream"}, sink).ok());
  std::string all;
  for (const std::string& piece : pieces) all += piece;
  EXPECT_EQ(all, "piece 1;piece 2;piece 3;");
  // What was there before it broke is told, and that it broke.
  pieces.clear();
  EXPECT_EQ(Client().Ask({.path = "/broken"}, sink).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(pieces.empty());
  const auto refuse = [](const HttpReply&, std::string_view) {
    return absl::AbortedError("enough");
  };
  EXPECT_EQ(Client().Ask({.path = "/stream"}, refuse).status(), absl::AbortedError("enough"));
}

TEST_F(HttpClientTest, GivesUpWhenToldOrLeftWaiting) {
  bool stopped = false;
  const auto stop_at_first = [&stopped](const HttpReply&, std::string_view) {
    stopped = true;
    return absl::OkStatus();
  };
  EXPECT_EQ(Client({.stopped = [&stopped] { return stopped; }})
                .Ask({.path = "/stream"}, stop_at_first)
                .status()
                .code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(
      Client({.silence_max = absl::Milliseconds(20)}).Ask({.path = "/silence"}).status().code(),
      absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpClientTest, WhereNobodyIs) {
  server_->Stop();
  const auto reply = Client().Ask({.path = "/stream"});
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr("refused"));
}

TEST_F(HttpClientTest, WhereNobodyShakesHands) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  HttpClient client({.tls = true,
                     .host = "127.0.0.1",
                     .port = std::to_string(ntohs(address.sin_port)),
                     .path = ""},
                    {.connect_max = absl::Milliseconds(20)});
  EXPECT_EQ(client.Ask({}).status().code(), absl::StatusCode::kUnavailable);
  ::close(listener);
}

TEST_F(HttpClientTest, CertificatesMustBeTrusted) {
  const auto distrusted = TlsClient().Ask({.path = "/stream"});
  EXPECT_EQ(distrusted.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(distrusted.status().message()), HasSubstr("certificate is not trusted"));
  ::setenv("SSL_CERT_FILE", folder_.Path("cert").c_str(), 1);
  const auto reply = TlsClient().Ask({.path = "/stream"});
  ::unsetenv("SSL_CERT_FILE");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "piece 1;piece 2;piece 3;");
}

}  // namespace
}  // namespace spillway
