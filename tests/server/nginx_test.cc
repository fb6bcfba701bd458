// Spillway behind Debian's nginx: with the server block that users paste (testdata/nginx_user.conf,
// as it is but for addresses and files) and with ours (manifests/nginx/spillway.conf).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/check.h"
#include "common/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/http_client.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_worker.h"
#include "tests/support/socket_dir.h"
#include "tests/support/test_certificate.h"

namespace spillway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kUsersFile[] = "tests/server/testdata/nginx_user.conf";
constexpr char kOurFile[] = "manifests/nginx/spillway.conf";
// What `./dev test --full` sets: with the proxy's own time-out of 60 s and our own timings.
constexpr char kWaitVariable[] = "SPILLWAY_PROXY_WAIT_SECONDS";

// A port that nobody listens on; taken again a moment later.
std::string FreePort() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  CHECK(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(listener);
  return std::to_string(ntohs(address.sin_port));
}

class NginxTest : public ::testing::TestWithParam<const char*> {
 protected:
  NginxTest() {
    std::signal(SIGPIPE, SIG_IGN);
    WriteTestCertificate(folder_.Path("cert.pem"), folder_.Path("cert.key"));
    ::setenv("SSL_CERT_FILE", folder_.Path("cert.pem").c_str(), 1);
  }
  ~NginxTest() override { ::unsetenv("SSL_CERT_FILE"); }

  void Start(FakeWorker::Options worker, std::vector<std::string> more = {},
             const std::string& http_settings = "") {
    worker_ = std::make_unique<FakeWorker>(folder_.Path("worker.sock"), std::move(worker));
    std::vector<std::string> arguments = {
        "serve", "--listen", "127.0.0.1:0", "--worker", "unix:" + folder_.Path("worker.sock"),
        "--data-dir", folder_.Path("data"), "--token-sha256",
        // of "secret"
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string binaries = std::string(SPILLWAY_BINARY_DIR) + "/bin/";
    server_ = std::make_unique<ChildProcess>(binaries + "spillway", arguments);
    const std::string line = server_->LineWith("listening on http://");
    server_->LineWith("ready: ");
    StartNginx(line.substr(line.rfind(':') + 1), http_settings);
  }

  void StartNginx(const std::string& server_port, const std::string& http_settings) {
    const std::string path = std::string(SPILLWAY_SOURCE_DIR) + "/" + GetParam();
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::string port = FreePort();
    std::string server =
        absl::StrReplaceAll(text, {{"listen 443 ssl", "listen 127.0.0.1:" + port + " ssl"},
                                   {"localhost:8080", "localhost:" + server_port},
                                   {"127.0.0.1:8080", "127.0.0.1:" + server_port},
                                   {"/etc/nginx/ssl/example.com", folder_.Path("cert")},
                                   {"/etc/nginx/ssl/llm.example.com", folder_.Path("cert")}});
    CHECK(server.find("listen 443") == std::string::npos);
    CHECK(server.find("/etc/nginx/ssl") == std::string::npos);
    const std::string temporary = folder_.Path("nginx");
    std::ofstream(folder_.Path("nginx.conf"))
        << "daemon off; master_process off; error_log stderr notice;\n"
        << (::geteuid() == 0 ? "user root;\n" : "") << "pid " << temporary << ".pid;\n"
        << "events {}\nhttp {\naccess_log off; client_body_temp_path " << temporary
        << "_body; proxy_temp_path " << temporary << "_proxy; fastcgi_temp_path " << temporary
        << "_fastcgi; uwsgi_temp_path " << temporary << "_uwsgi; scgi_temp_path " << temporary
        << "_scgi;\n"
        << http_settings << "\n"
        << server << "\n}\n";
    nginx_ = std::make_unique<ChildProcess>(
        "nginx",
        std::vector<std::string>{"-p", folder_.Path(""), "-c", folder_.Path("nginx.conf")});
    // It listens before it says so.
    ASSERT_THAT(nginx_->LineWith("RLIMIT_NOFILE"), Not("")) << "no nginx: ./dev setup";
    url_ = {.tls = true, .host = "localhost", .port = port, .path = ""};
  }

  static HttpClientRequest Chat(const std::string& fields) {
    return {.method = "POST",
            .path = "/v1/chat/completions",
            .headers = {{"Authorization", "Bearer secret"}, {"Content-Type", "application/json"}},
            .body = absl::StrCat(
                R"({"seed":7,"max_tokens":8,"messages":[{"role":"user","content":"hi"}])", fields,
                "}")};
  }
  HttpClient Client(absl::Duration silence_max = absl::Seconds(20)) {
    return HttpClient(url_, {.silence_max = silence_max});
  }

  // Asks for a stream and gives what has come of it to `look`, piece by piece; all of it.
  absl::StatusOr<std::string> Stream(const std::function<void(const std::string&)>& look,
                                     absl::Duration silence_max = absl::Seconds(20)) {
    std::string all;
    const absl::StatusOr<HttpReply> reply =
        Client(silence_max)
            .Ask(Chat(R"(,"stream":true)"), [&](const HttpReply& head, std::string_view bytes) {
              EXPECT_EQ(head.status, 200);
              all += bytes;
              look(all);
              return absl::OkStatus();
            });
    if (!reply.ok()) return reply.status();
    return all;
  }

  const SystemClock clock_;
  SocketDir folder_;
  BaseUrl url_;
  std::unique_ptr<FakeWorker> worker_;
  std::unique_ptr<ChildProcess> server_;
  std::unique_ptr<ChildProcess> nginx_;
};

INSTANTIATE_TEST_SUITE_P(Files, NginxTest, ::testing::Values(kUsersFile, kOurFile),
                         [](const auto& file) {
                           return std::string(file.param) == kUsersFile ? "Users" : "Ours";
                         });

TEST_P(NginxTest, StreamsArriveAtOnce) {
  Start({.hold_after = 2});
  bool allowed = false;
  // The worker goes on only when its first token has come through.
  const auto all = Stream([&](const std::string& so_far) {
    if (allowed || so_far.find("\"content\":\"" + FakeTokenText(7, 0)) == std::string::npos) return;
    allowed = true;
    worker_->Allow(100);
  });
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(*all, EndsWith("data: [DONE]\n\n"));
}

TEST_P(NginxTest, AStreamThatWaitsIsKeptAlive) {
  const char* full = std::getenv(kWaitVariable);
  const absl::Duration wait = full != nullptr ? absl::Seconds(std::atoi(full)) : absl::Seconds(4);
  const bool users = std::string(GetParam()) == kUsersFile;
  if (full != nullptr) {
    Start({.starts = false});
  } else if (users) {
    // Shorter by thirty, and so is the time-out, which the file leaves open.
    Start({.starts = false}, {"--stream-begin", "0.6", "--keep-alive", "0.5"},
          "proxy_read_timeout 2s;");
  } else {
    Start({.starts = false}, {"--stream-begin", "0.6", "--keep-alive", "0.5"});
  }
  const absl::Time begun = clock_.Now();
  bool allowed = false;
  const auto all = Stream(
      [&](const std::string& so_far) {
        if (allowed || clock_.Now() - begun < wait) return;
        EXPECT_THAT(so_far, Not(HasSubstr("\"content\":\"" + FakeTokenText(7, 0))));
        allowed = true;
        worker_->Allow(100);
      },
      absl::Seconds(60));
  EXPECT_TRUE(allowed);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(*all, HasSubstr(": keep-alive\n\n"));
  EXPECT_THAT(*all, EndsWith("data: [DONE]\n\n"));
}

TEST_P(NginxTest, NothingIsTakenForAnUpgrade) {
  Start({});
  for (const char* protocol : {"websocket", "h2c"}) {
    HttpClientRequest request = Chat("");
    request.headers.push_back({"Upgrade", protocol});
    request.headers.push_back({"HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"});
    const auto reply = Client().Ask(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->status, 200);
    EXPECT_THAT(reply->body, HasSubstr("\"content\":\"" + FakeAnswer(7, 8)));
  }
}

TEST_P(NginxTest, RefusalsComeThroughAsTheyAre) {
  Start({});
  worker_->RefuseNext(1, absl::StatusCode::kInvalidArgument, "context_length_exceeded");
  const auto reply = Client().Ask(Chat(R"(,"stream":true)"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 400);
  EXPECT_THAT(reply->body, HasSubstr("context_length_exceeded"));
  HttpClientRequest stranger = Chat("");
  stranger.headers.clear();
  EXPECT_EQ(Client().Ask(stranger)->status, 401);
}

TEST_P(NginxTest, AClientThatHangsUpFreesItsSequence) {
  Start({.hold_after = 2});
  bool seen = false;
  HttpClient client(url_, {.stopped = [&seen] { return seen; }});
  const auto reply = client.Ask(Chat(R"(,"stream":true)"), [&](const HttpReply&, std::string_view) {
    seen = true;
    return absl::OkStatus();
  });
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(worker_->WaitUntil([](const auto& worker) { return worker.cancelled.size() == 1; }));
}

TEST_P(NginxTest, AStreamThatBreaksHasNoEnd) {
  Start({.hold_after = 2});
  bool killed = false;
  const auto all = Stream([&](const std::string& so_far) {
    if (killed || so_far.find("\"content\":\"" + FakeTokenText(7, 0)) == std::string::npos) return;
    killed = true;
    server_->Signal(SIGKILL);
  });
  EXPECT_EQ(all.status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace spillway
