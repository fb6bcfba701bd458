// The HTTP server over TLS, with OpenSSL's own client on the other side.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <csignal>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/http_server.h"
#include "server/http/route_table.h"
#include "tests/support/socket_client.h"
#include "tests/support/socket_dir.h"
#include "tests/support/test_certificate.h"

namespace spillway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A client that blocks, on a socket of a SocketClient.
class TlsClient {
 public:
  explicit TlsClient(const std::string& address, int version = 0, const char* protocols = nullptr)
      : socket_(address), context_(::SSL_CTX_new(::TLS_client_method()), ::SSL_CTX_free) {
    if (version != 0) {
      ::SSL_CTX_set_security_level(context_.get(), 0);  // else OpenSSL refuses by itself
      ::SSL_CTX_set_min_proto_version(context_.get(), version);
      ::SSL_CTX_set_max_proto_version(context_.get(), version);
    }
    ssl_.reset(::SSL_new(context_.get()));
    if (protocols != nullptr) {
      ::SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(protocols),
                            static_cast<unsigned>(std::string(protocols).size()));
    }
    ::SSL_set_fd(ssl_.get(), socket_.descriptor());
    connected_ = ::SSL_connect(ssl_.get()) == 1;
    if (!connected_) error_ = ::ERR_reason_error_string(::ERR_peek_last_error());
    ::ERR_clear_error();
  }

  bool connected() const { return connected_; }
  // Why it isn't; may be null.
  std::string error() const { return error_ == nullptr ? "" : error_; }
  std::string version() const { return ::SSL_get_version(ssl_.get()); }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    ::SSL_get0_alpn_selected(ssl_.get(), &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  std::string peer_name() const {
    const std::unique_ptr<X509, decltype(&::X509_free)> peer(
        ::SSL_get1_peer_certificate(ssl_.get()), ::X509_free);
    char name[100] = "";
    ::X509_NAME_get_text_by_NID(::X509_get_subject_name(peer.get()), NID_commonName, name,
                                sizeof(name));
    return name;
  }

  void Send(const std::string& bytes) {
    EXPECT_EQ(::SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
  }
  std::string ReadUntil(const std::string& marker) {
    while (received_.find(marker) == std::string::npos && ReadSome()) {
    }
    const size_t at = received_.find(marker);
    const size_t end = at == std::string::npos ? received_.size() : at + marker.size();
    const std::string read = received_.substr(0, end);
    received_.erase(0, end);
    return read;
  }
  std::string ReadBytes(size_t count) {
    while (received_.size() < count && ReadSome()) {
    }
    const std::string read = received_.substr(0, count);
    received_.erase(0, read.size());
    return read;
  }
  // Whether the server said goodbye as TLS wants it.
  bool ended_in_good_order() const {
    return (::SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }

 private:
  bool ReadSome() {
    char bytes[16384];
    const int count = ::SSL_read(ssl_.get(), bytes, sizeof(bytes));
    if (count <= 0) return false;
    received_.append(bytes, static_cast<size_t>(count));
    return true;
  }

  SocketClient socket_;
  const std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&::SSL_free)> ssl_{nullptr, ::SSL_free};
  bool connected_ = false;
  const char* error_ = nullptr;
  std::string received_;
};

class TlsServerTest : public ::testing::Test {
 protected:
  TlsServerTest() { std::signal(SIGPIPE, SIG_IGN); }

  void StartServer(HttpLimits limits = {}) {
    WriteTestCertificate(files_.certificate, files_.key, "first");
    credentials_ = TlsCredentials::Load(files_).value();
    HttpServerOptions options;
    options.listeners = {{.address = "127.0.0.1:0", .tls = credentials_}};
    options.limits = limits;
    routes_.Add(
        {"POST", "/echo", TokenRule::kNever, [](HttpRequest& request, ResponseWriter& writer) {
           writer.Send({.headers = {}, .body = std::string(request.body)});
           return nullptr;
         }});
    routes_.Add({"GET", "/held", TokenRule::kNever, [this](HttpRequest&, ResponseWriter& writer) {
                   held_.set_value(&writer);
                   return std::make_unique<HttpOperation>();
                 }});
    server_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    server_->SetHandler(0, routes_);
    ASSERT_TRUE(server_->Start().ok());
    address_ = server_->bound_addresses().at(0);
  }
  static std::string Post(const std::string& body, const std::string& fields = "") {
    return "POST /echo HTTP/1.1\r\nHost: x\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  void OnServer(std::function<void()> function) {
    std::promise<void> done;
    server_->Poster(0)([&] {
      function();
      done.set_value();
    });
    done.get_future().wait();
  }

  SocketDir folder_;
  TlsFiles files_ = {folder_.Path("cert.pem"), folder_.Path("key.pem")};
  std::shared_ptr<TlsCredentials> credentials_;
  SystemClock clock_;
  MetricRegistry metrics_;
  std::promise<ResponseWriter*> held_;
  RouteTable routes_{[](HttpRequest&, TokenRule) { return std::nullopt; },
                     [](int status, std::string_view, std::string_view message) {
                       return HttpResponse{
                           .status = status, .headers = {}, .body = std::string(message)};
                     }};
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

TEST_F(TlsServerTest, AnswersOverTls13AndTls12) {
  StartServer();
  for (const int version : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    TlsClient client(address_, version);
    ASSERT_TRUE(client.connected()) << client.error();
    EXPECT_EQ(client.version(), version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
    for (int i = 0; i < 3; ++i) {
      client.Send(Post("hello"));
      EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
      EXPECT_EQ(client.ReadBytes(5), "hello");
    }
  }
}

TEST_F(TlsServerTest, OldVersionsAreRefused) {
  StartServer();
  TlsClient client(address_, TLS1_1_VERSION);
  EXPECT_FALSE(client.connected());
}

TEST_F(TlsServerTest, SpeaksHttp1AndTellsWhoWantsOnlyHttp2) {
  StartServer();
  TlsClient both(address_, 0, "\x02h2\x08http/1.1");
  ASSERT_TRUE(both.connected());
  EXPECT_EQ(both.protocol(), "http/1.1");
  TlsClient only(address_, 0, "\x02h2");
  EXPECT_FALSE(only.connected());
  EXPECT_THAT(only.error(), HasSubstr("no application protocol"));
}

TEST_F(TlsServerTest, LargeBodiesBothWays) {
  StartServer();
  TlsClient client(address_);
  ASSERT_TRUE(client.connected());
  std::string body(3'000'000, 'a');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  std::thread sender([&] { client.Send(Post(body)); });
  sender.join();
  client.ReadUntil("\r\n\r\n");
  EXPECT_TRUE(client.ReadBytes(body.size()) == body);
}

TEST_F(TlsServerTest, StreamLeavesAtOnceAndEndsInGoodOrder) {
  StartServer();
  TlsClient client(address_);
  ASSERT_TRUE(client.connected());
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  ResponseWriter* writer = held_.get_future().get();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {});
    writer->Write("data: 1\n\n");
    writer->Flush();
  });
  EXPECT_THAT(client.ReadUntil("1\n\n\r\n"), EndsWith("9\r\ndata: 1\n\n\r\n"));
  OnServer([&] { writer->EndStream(); });
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_EQ(client.ReadBytes(1), "");
  EXPECT_TRUE(client.ended_in_good_order());
}

TEST_F(TlsServerTest, NewConnectionsGetTheNewCertificate) {
  StartServer();
  TlsClient before(address_);
  EXPECT_EQ(before.peer_name(), "first");
  WriteTestCertificate(files_.certificate, files_.key, "second");
  EXPECT_TRUE(credentials_->Reload().ok());
  TlsClient after(address_);
  EXPECT_EQ(after.peer_name(), "second");
  before.Send(Post("still"));
  before.ReadUntil("\r\n\r\n");
  EXPECT_EQ(before.ReadBytes(5), "still");
}

TEST_F(TlsServerTest, PlainHttpIsToldWhatToDo) {
  StartServer();
  SocketClient client(address_);
  client.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = client.ReadResponse();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer, EndsWith("use https://.\r\n"));
  EXPECT_TRUE(server_->WaitUntilIdle(absl::Seconds(10)));
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_http_tls_handshake_failures_total 1"));
}

TEST_F(TlsServerTest, HandshakeThatStandsStillIsCut) {
  HttpLimits limits;
  limits.head_time = absl::Milliseconds(30);
  StartServer(limits);
  SocketClient client(address_);
  client.Send("\x16\x03\x01");
  EXPECT_EQ(client.ReadToEnd(), "");
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("spillway_http_tls_handshake_failures_total 1"));
}

TEST_F(TlsServerTest, ClientThatDoesNotReadIsCut) {
  HttpLimits limits;
  limits.write_pace.stall_max = absl::Milliseconds(50);
  limits.unsent_bytes_max = 64u << 20;
  StartServer(limits);
  TlsClient client(address_);
  client.Send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
  ResponseWriter* writer = held_.get_future().get();
  OnServer([&] {
    writer->BeginStream("text/event-stream", {});
    writer->Write(std::string(32u << 20, 'x'));
    writer->Flush();
  });
  EXPECT_TRUE(server_->WaitUntilIdle(absl::Seconds(10)));
}

}  // namespace
}  // namespace spillway
