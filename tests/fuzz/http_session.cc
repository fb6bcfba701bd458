// A whole connection: requests one after another, whole, broken and mixed, from a client that may
// hang up, stand still or not read. However its bytes are cut, the same requests are answered; and
// nothing is left behind.
#include "server/http/http_session.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "tests/support/manual_clock.h"

namespace {

using namespace spillway;  // NOLINT(google-build-using-namespace): a program of one file

class Handler : public HttpHandler {
 public:
  std::optional<HttpResponse> Admit(HttpRequest& request) override {
    log += "admit " + std::string(request.method) + request.path + "\n";
    if (request.path != "/no") return std::nullopt;
    return HttpResponse{.status = 401, .headers = {}, .body = "no"};
  }
  std::unique_ptr<HttpOperation> Handle(HttpRequest& request, ResponseWriter& writer) override {
    CHECK(request.path != "/no");
    log += "body " + std::string(request.body) + "\n";
    if (request.path == "/stream") {
      writer.BeginStream("text/event-stream", {});
      writer.Write("event");
      if (request.body.empty()) {
        writer.EndStream();
      } else {
        writer.AbortStream();
      }
      return std::make_unique<Operation>(running);
    }
    writer.Send({.headers = {}, .body = "yes"});
    return nullptr;
  }
  HttpResponse ConnectionError(int status, std::string_view message) const override {
    CHECK(status >= 400 && !message.empty());
    return {.status = status, .headers = {}, .body = "error"};
  }

  std::string log;
  int running = 0;

 private:
  class Operation : public HttpOperation {
   public:
    explicit Operation(int& running) : running_(running) { ++running_; }
    ~Operation() override { --running_; }

   private:
    int& running_;
  };
};

class Client : public SessionOwner {
 public:
  explicit Client(HttpThreadState& thread) : session(ConnectionOrigin(), thread, *this) {
    session.Begin();
  }
  void Drain() override {}
  void Cut() override { session.Cut(HttpSession::End::kClose); }
  void SessionChanged() override {}

  void Turn() {
    session.Tick();
    while (session.end() == HttpSession::End::kOpen && !session.output().empty()) {
      session.Sent(session.output().size());
      session.Tick();
    }
  }

  HttpSession session;
};

// What was answered.
std::string Run(std::string_view bytes, size_t piece, const HttpLimits& limits) {
  const std::vector<IpNetwork> trusted;
  ManualClock clock;
  MetricRegistry metrics;
  Handler handler;
  HttpThreadState thread(limits, trusted, clock, metrics, /*id_seed=*/1, /*threads=*/1);
  thread.handler = &handler;
  {
    Client client(thread);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      if (client.session.wants_input()) client.session.Receive(bytes.substr(at, piece));
      client.Turn();
    }
    clock.Advance(absl::Hours(1));
    client.Turn();
    clock.Advance(absl::Hours(1));
    client.Turn();
    CHECK(client.session.end() != HttpSession::End::kOpen);
    CHECK(handler.running == 0);
  }
  CHECK(thread.input_bytes == 0 && thread.unsent_bytes == 0 && thread.waiting.empty());
  return handler.log;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  HttpLimits limits;
  limits.head_bytes_max = 1000;
  limits.body_bytes_max = 500;
  limits.refused_body_bytes_max = 50;
  // A client reads all answers at once here, so nothing is ever read ahead that must wait.
  const std::string whole = Run(bytes, std::max<size_t>(1, size), limits);
  CHECK(Run(bytes, 1, limits) == whole);
  CHECK(Run(bytes, 7, limits) == whole);
  return 0;
}
