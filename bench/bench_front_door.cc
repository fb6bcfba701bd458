// What clients that only hold connections cost those that use the server: the HTTP server, on one
// thread in a process of its own, streams to 64 clients that read, while others idle or don't read.
//
//   ninja -C build/release bench_front_door
//   build/release/bin/bench_front_door [--idle 10000] [--slow 1000] [--slow-event-bytes 250]
//       [--seconds 5]
//
// Phases: nobody else, idle connections, slow readers, as many more clients who read (what slow
// ones cost must be compared with: their streams are made all the same), idle and slow. In each
//   event ms    from the server's write of an event to its arrival at a client that reads; a stream
//               is 50 events, 20 ms apart, 250 bytes each, as tokens are
//   request ms  from a small request on a connection of its own, kept open, to its answer
//   server MB   resident memory of the server's process
//   kernel MB   what TCP holds, of all sockets of this machine, clients' too
// A slow reader asks for a stream without end, 20 ms between events too, and reads nothing; when it
// is cut it connects again. Larger events reach the limits on unsent bytes sooner.
//
// What bounds it: two processes on this machine's cores, so the clients' work is in the figures.
// The open files limit must allow the idle connections (ulimit -n).
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "server/http/http_server.h"
#include "server/http/route_table.h"

namespace spillway {
namespace {

constexpr int kReaders = 64;
constexpr uint32_t kAskingIndex = 1u << 31;  // the connection that isn't a stream's
constexpr int kEventsPerStream = 50;
constexpr absl::Duration kEventInterval = absl::Milliseconds(20);
constexpr size_t kEventBytes = 250;
constexpr int kSlowReceiveBytes = 4096;

int64_t NowNanoseconds() { return absl::ToInt64Nanoseconds(SystemClock().Now() - absl::Time()); }

// ---- the server's process ----

// Tokens as a model would make them, each with the time of its writing in front.
class TokenStream : public HttpOperation {
 public:
  TokenStream(ResponseWriter& writer, int events, size_t event_bytes)
      : writer_(writer), left_(events), event_bytes_(event_bytes) {
    writer_.BeginStream("text/event-stream", {});
    OnWake();
  }
  void OnWake() override {
    std::string event = absl::StrCat("data: ", NowNanoseconds(), " ");
    event.resize(event_bytes_ - 2, 'x');
    writer_.Write(event + "\n\n");
    if (--left_ == 0) return writer_.EndStream();
    writer_.Flush();
    writer_.WakeAfter(kEventInterval);
  }

 private:
  ResponseWriter& writer_;
  int left_;
  const size_t event_bytes_;
};

void AddRoutes(RouteTable& routes, size_t slow_event_bytes) {
  routes.Add({"GET", "/hello", TokenRule::kNever, [](HttpRequest&, ResponseWriter& writer) {
                writer.Send({.content_type = "text/plain", .headers = {}, .body = "hello"});
                return nullptr;
              }});
  routes.Add({"GET", "/stream", TokenRule::kNever, [](HttpRequest&, ResponseWriter& writer) {
                return std::make_unique<TokenStream>(writer, kEventsPerStream, kEventBytes);
              }});
  routes.Add({"GET", "/endless", TokenRule::kNever,
              [slow_event_bytes](HttpRequest&, ResponseWriter& writer) {
                return std::make_unique<TokenStream>(writer, -1, slow_event_bytes);
              }});
}

[[noreturn]] void RunServer(int port_pipe, int idle_max, size_t slow_event_bytes) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);  // as server/main.cc does
  SystemClock clock;
  MetricRegistry metrics;
  HttpServerOptions options;
  options.listeners = {{.address = "127.0.0.1:0"}};
  options.limits.connections_max = std::max(options.limits.connections_max, idle_max + 4096);
  HttpServer server(options, clock, metrics);
  RouteTable routes([](HttpRequest&, TokenRule) { return std::nullopt; },
                    [](int status, std::string_view, std::string_view) {
                      return HttpResponse{.status = status};
                    });
  AddRoutes(routes, slow_event_bytes);
  server.SetHandler(0, routes);
  CHECK(server.Start().ok());
  const std::string address = server.bound_addresses().at(0);
  const int port = std::atoi(address.c_str() + address.rfind(':') + 1);
  CHECK(::write(port_pipe, &port, sizeof(port)) == sizeof(port));
  while (true) ::pause();
}

// ---- clients ----

// Connects; many clients need more than one address, as each has 28,000 ports.
int Connect(int port, int index, int receive_bytes = 0) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(socket >= 0);
  if (receive_bytes > 0) {
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
  }
  sockaddr_in own = {};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<uint32_t>(index % 4));
  CHECK(::bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof(own)) == 0);
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(port));
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)) == 0);
  return socket;
}

void Ask(int socket, const char* path) {
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(::send(socket, request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size()));
}

struct Latencies {
  std::vector<double> ms;
  double At(double share) {
    if (ms.empty()) return 0;
    std::sort(ms.begin(), ms.end());
    return ms[static_cast<size_t>(share * static_cast<double>(ms.size() - 1))];
  }
};

// Those who use the server as it is meant.
class Readers {
 public:
  Readers(int port, int count) : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (int i = 0; i < count; ++i) {
      sockets_.push_back(Connect(port, i));
      Watch(sockets_.back(), static_cast<uint32_t>(i));
      Ask(sockets_.back(), "/stream");
    }
    rest_.resize(sockets_.size());
    asking_ = Connect(port, 0);
    Watch(asking_, kAskingIndex);
  }
  ~Readers() {
    for (const int socket : sockets_) ::close(socket);
    ::close(asking_);
    ::close(epoll_);
  }

  void Run(absl::Duration duration) {
    const int64_t end = NowNanoseconds() + absl::ToInt64Nanoseconds(duration);
    AskOnce();
    std::array<epoll_event, 64> ready;
    while (NowNanoseconds() < end) {
      const int count = ::epoll_wait(epoll_, ready.data(), ready.size(), 1);
      for (int i = 0; i < count; ++i) OnReadable(ready[static_cast<size_t>(i)].data.u32);
      if (asked_at_ == 0 && NowNanoseconds() > ask_again_) AskOnce();
    }
  }

  Latencies events;
  Latencies requests;

 private:
  void Watch(int socket, uint32_t index) {
    epoll_event event = {.events = EPOLLIN, .data = {.u32 = index}};
    CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) == 0);
  }
  void AskOnce() {
    asked_at_ = NowNanoseconds();
    Ask(asking_, "/hello");
  }
  void OnReadable(uint32_t index) {
    char bytes[16384];
    const int socket = index == kAskingIndex ? asking_ : sockets_[index];
    const ssize_t count = ::recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT);
    CHECK(count > 0);
    const int64_t now = NowNanoseconds();
    if (index == kAskingIndex) {
      requests.ms.push_back(static_cast<double>(now - asked_at_) / 1e6);
      asked_at_ = 0;
      ask_again_ = now + 2'000'000;
      return;
    }
    std::string& text = rest_[index];
    text.append(bytes, static_cast<size_t>(count));
    size_t at = 0;
    for (size_t found; (found = text.find("data: ", at)) != std::string::npos;) {
      const size_t end = text.find('\n', found);
      if (end == std::string::npos) break;
      const int64_t written = std::atoll(text.c_str() + found + 6);
      events.ms.push_back(static_cast<double>(now - written) / 1e6);
      at = end;
    }
    const bool ended = text.find("\r\n0\r\n\r\n", at) != std::string::npos;
    text.erase(0, ended ? text.size() : at);
    if (ended) Ask(socket, "/stream");
  }

  const int epoll_;
  std::vector<int> sockets_;
  std::vector<std::string> rest_;
  int asking_ = -1;
  int64_t asked_at_ = 0;
  int64_t ask_again_ = 0;
};

// Connections without a request.
class Idlers {
 public:
  Idlers(int port, int count) {
    for (int i = 0; i < count; ++i) sockets_.push_back(Connect(port, i));
  }
  ~Idlers() {
    for (const int socket : sockets_) ::close(socket);
  }
  int left() const {
    int open = 0;
    for (const int socket : sockets_) {
      char byte;
      open += ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    }
    return open;
  }

 private:
  std::vector<int> sockets_;
};

// Clients that ask for a stream and read nothing, on a thread of their own.
class SlowReaders {
 public:
  SlowReaders(int port, int count) : port_(port) {
    for (int i = 0; i < count; ++i) sockets_.push_back(Begin(i));
    thread_ = std::thread([this] { Run(); });
  }
  ~SlowReaders() {
    stop_ = true;
    thread_.join();
    for (const int socket : sockets_) ::close(socket);
  }
  int cut() const { return cut_; }

 private:
  int Begin(int index) {
    const int socket = Connect(port_, index, kSlowReceiveBytes);
    Ask(socket, "/endless");
    return socket;
  }
  void Run() {
    while (!stop_) {
      absl::SleepFor(absl::Milliseconds(100));
      for (size_t i = 0; i < sockets_.size() && !stop_; ++i) {
        pollfd state = {sockets_[i], 0, 0};
        if (::poll(&state, 1, 0) == 0 || (state.revents & (POLLERR | POLLHUP)) == 0) continue;
        ++cut_;
        ::close(sockets_[i]);
        sockets_[i] = Begin(static_cast<int>(i));
      }
    }
  }

  const int port_;
  std::vector<int> sockets_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> cut_ = 0;
  std::thread thread_;
};

double ResidentMb(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

double KernelMb() {
  std::ifstream file("/proc/net/sockstat");
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(" mem ");
    if (line.rfind("TCP:", 0) == 0 && at != std::string::npos) {
      return std::atof(line.c_str() + at + 5) * static_cast<double>(::getpagesize()) / 1048576;
    }
  }
  return 0;
}

void RunPhase(const char* name, int port, pid_t server, int idle, int slow, int more,
              absl::Duration seconds) {
  std::unique_ptr<Idlers> idlers;
  std::unique_ptr<SlowReaders> slow_readers;
  if (idle > 0) idlers = std::make_unique<Idlers>(port, idle);
  if (slow > 0) slow_readers = std::make_unique<SlowReaders>(port, slow);
  Readers readers(port, kReaders + more);
  readers.Run(absl::Seconds(1));
  readers.events.ms.clear();
  readers.requests.ms.clear();
  readers.Run(seconds);
  std::printf("%-14s %9zu %8.2f %8.2f %8.2f %10.2f %8.2f %10.1f %10.1f", name,
              readers.events.ms.size(), readers.events.At(.5), readers.events.At(.99),
              readers.events.At(.999), readers.requests.At(.5), readers.requests.At(.99),
              ResidentMb(server), KernelMb());
  if (idlers) std::printf("  %d of %d idle left", idlers->left(), idle);
  if (slow_readers) std::printf("  %d slow cut", slow_readers->cut());
  std::printf("\n");
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  int idle = 10'000;
  int slow = 1'000;
  size_t slow_event_bytes = 250;
  double seconds = 5;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--idle") idle = std::atoi(argv[i + 1]);
    if (option == "--slow") slow = std::atoi(argv[i + 1]);
    if (option == "--slow-event-bytes")
      slow_event_bytes = static_cast<size_t>(std::atoi(argv[i + 1]));
    if (option == "--seconds") seconds = std::atof(argv[i + 1]);
  }
  rlimit files;
  CHECK(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;
  CHECK(::setrlimit(RLIMIT_NOFILE, &files) == 0);
  int pipe_ends[2];
  CHECK(::pipe(pipe_ends) == 0);
  const pid_t server = ::fork();
  if (server == 0) RunServer(pipe_ends[1], idle + slow, slow_event_bytes);
  int port = 0;
  CHECK(::read(pipe_ends[0], &port, sizeof(port)) == sizeof(port));
  std::printf("%-14s %9s %8s %8s %8s %10s %8s %10s %10s\n", "beside", "events", "p50 ms", "p99",
              "p99.9", "request ms", "p99", "server MB", "kernel MB");
  const absl::Duration phase = absl::Seconds(seconds);
  RunPhase("nobody", port, server, 0, 0, 0, phase);
  RunPhase("idle", port, server, idle, 0, 0, phase);
  RunPhase("slow", port, server, 0, slow, 0, phase);
  RunPhase("more readers", port, server, 0, 0, slow, phase);
  RunPhase("idle and slow", port, server, idle, slow, 0, phase);
  RunPhase("nobody again", port, server, 0, 0, 0, phase);
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) { return spillway::Main(argc, argv); }
