#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/metrics.h"
#include "server/http/http_session.h"
#include "tests/support/manual_clock.h"

namespace spillway {

inline std::string Get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
}
inline std::string Post(const std::string& path, const std::string& body,
                        const std::string& fields = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + fields + "\r\n" + body;
}

// /echo answers with its body, /hold waits for the test, and a path with "stranger" is refused.
class SessionTestHandler : public HttpHandler {
 public:
  std::optional<HttpResponse> Admit(HttpRequest& request) override {
    client_address = request.client_address;
    request.route = "route";
    if (request.path.find("stranger") == std::string::npos) return std::nullopt;
    return HttpResponse{.status = 401, .headers = {}, .body = "who are you?"};
  }
  std::unique_ptr<HttpOperation> Handle(HttpRequest& request, ResponseWriter& writer_in) override {
    bodies.emplace_back(request.body);
    if (request.path != "/hold") {
      writer_in.Send({.headers = {}, .body = std::string(request.body)});
      return nullptr;
    }
    writer = &writer_in;
    return std::make_unique<Operation>(*this);
  }
  HttpResponse ConnectionError(int status, std::string_view message) const override {
    return {.status = status, .headers = {}, .body = std::string(message)};
  }

  std::vector<std::string> bodies;  // of the requests that were handled
  std::string client_address;
  ResponseWriter* writer = nullptr;  // of the held request
  int running = 0;
  int wakes = 0;

 private:
  class Operation : public HttpOperation {
   public:
    explicit Operation(SessionTestHandler& handler) : handler_(handler) { ++handler_.running; }
    ~Operation() override {
      --handler_.running;
      handler_.writer = nullptr;
    }
    void OnWake() override { ++handler_.wakes; }

   private:
    SessionTestHandler& handler_;
  };
};

// What all sessions of a test share.
struct SessionTestThread {
  explicit SessionTestThread(const HttpLimits& limits_in = {},
                             std::vector<IpNetwork> trusted_in = {})
      : limits(limits_in), trusted(std::move(trusted_in)) {
    state.handler = &handler;
  }
  HttpLimits limits;
  std::vector<IpNetwork> trusted;
  ManualClock clock;
  MetricRegistry metrics;
  SessionTestHandler handler;
  HttpThreadState state{limits, trusted, clock, metrics, /*id_seed=*/1, /*threads=*/1};
};

// A session with a client that reads all that is sent, unless it is told not to.
class SessionClient : public SessionOwner {
 public:
  explicit SessionClient(SessionTestThread& thread)
      : thread_(thread), session_({.peer_address = "127.0.0.1"}, thread.state, *this) {
    session_.Begin();
  }

  void Drain() override { session_.Drain(); }
  void Cut() override { session_.Cut(HttpSession::End::kClose); }
  void SessionChanged() override {}

  void Send(std::string_view bytes) {
    if (session_.wants_input()) session_.Receive(bytes);
    Turn();
  }
  void HangUp() {
    session_.ReceiveEnd();
    Turn();
  }
  // Ticks and reads, as long as there is something.
  void Turn() {
    session_.Tick();
    while (reads && session_.end() == HttpSession::End::kOpen && !session_.output().empty()) {
      const std::string_view some = session_.output().substr(0, 1000);
      received_ += some;
      session_.Sent(some.size());
      session_.Tick();
    }
  }
  void Wait(absl::Duration duration) {
    thread_.clock.Advance(duration);
    Turn();
  }
  std::string Received() {
    Turn();
    return std::exchange(received_, {});
  }
  // "200 401", of all answers that came.
  std::string Statuses() {
    std::string statuses;
    const std::string all = Received();
    for (size_t at = all.find("HTTP/1."); at != std::string::npos;
         at = all.find("HTTP/1.", at + 1)) {
      statuses += (statuses.empty() ? "" : " ") + all.substr(at + 9, 3);
    }
    return statuses;
  }
  HttpSession& session() { return session_; }
  HttpSession::End end() const { return session_.end(); }
  bool open() const { return session_.end() == HttpSession::End::kOpen; }

  bool reads = true;

 private:
  SessionTestThread& thread_;
  HttpSession session_;
  std::string received_;
};

}  // namespace spillway
