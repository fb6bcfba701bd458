#include "server/cli/worker_supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"

namespace spillway {
namespace {

// sockaddr_un::sun_path has 108 bytes with its zero; "/worker-999.sock" is appended.
constexpr size_t kRuntimePathBytesMax = 80;
constexpr size_t kFailureBytesMax = 4096;

// What a worker has left there; empty when nothing.
std::string ReadFailure(const std::string& path) {
  if (path.empty()) return "";
  std::string text(kFailureBytesMax, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("was ended by signal ", WTERMSIG(wait_status), " (",
                        ::strsignal(WTERMSIG(wait_status)), ")");
  }
  return absl::StrCat("ended with status ", WEXITSTATUS(wait_status));
}

// posix_spawn with the attributes that the class comment promises. Returns an errno.
int Spawn(const WorkerCommand& command, pid_t* pid) {
  std::vector<char*> arguments;
  arguments.push_back(const_cast<char*>(command.binary.c_str()));
  for (const std::string& argument : command.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;  // the front door blocks signals to wait for them; its workers must not
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  const int error =
      ::posix_spawn(pid, command.binary.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

}  // namespace

WorkerSupervisor::WorkerSupervisor(std::vector<WorkerCommand> commands, const RestartPolicy& policy,
                                   const Clock& clock)
    : clock_(clock), stable_after_(policy.stable_after) {
  for (WorkerCommand& command : commands) {
    workers_.emplace_back(std::move(command), policy);
  }
}

WorkerSupervisor::~WorkerSupervisor() { Stop(absl::ZeroDuration()); }

absl::Status WorkerSupervisor::Start() {
  for (Worker& worker : workers_) {
    if (absl::Status status = StartWorker(worker); !status.ok()) {
      Stop(absl::ZeroDuration());
      return status;
    }
  }
  return absl::OkStatus();
}

void WorkerSupervisor::Poll() {
  for (Worker& worker : workers_) {
    Collect(worker);
    if (worker.pid != 0 || clock_.Now() < worker.start_at) continue;
    if (absl::Status status = StartWorker(worker); !status.ok()) {
      LogError(absl::StrCat(status.message()));
      worker.start_at = clock_.Now() + worker.backoff.DelayAfter(clock_.Now(), clock_.Now());
    }
  }
}

absl::Time WorkerSupervisor::next_start() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Worker& worker : workers_) {
    if (worker.pid == 0) next = std::min(next, worker.start_at);
  }
  return next;
}

void WorkerSupervisor::Stop(absl::Duration grace) {
  SignalAll(SIGTERM);
  const absl::Time deadline = clock_.Now() + grace;
  while (!AllEnded() && clock_.Now() < deadline) {
    // Woken by SIGCHLD where the caller blocks it; else the loop looks now and then.
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    const timespec wait = {.tv_sec = 0, .tv_nsec = 10'000'000};
    ::sigtimedwait(&child, nullptr, &wait);
  }
  SignalAll(SIGKILL);
  for (Worker& worker : workers_) {
    if (worker.pid != 0) ::waitpid(worker.pid, nullptr, 0);
    worker.pid = 0;
    worker.start_at = absl::InfiniteFuture();
    ::unlink(worker.command.socket_path.c_str());
  }
}

std::vector<pid_t> WorkerSupervisor::running() const {
  std::vector<pid_t> pids;
  for (const Worker& worker : workers_) {
    if (worker.pid != 0) pids.push_back(worker.pid);
  }
  return pids;
}

absl::Status WorkerSupervisor::StartWorker(Worker& worker) {
  CHECK(worker.pid == 0);
  for (const std::string& path : {worker.command.socket_path, worker.command.failure_path}) {
    if (!path.empty()) ::unlink(path.c_str());
  }
  if (const int error = Spawn(worker.command, &worker.pid); error != 0) {
    worker.pid = 0;
    return absl::NotFoundError(absl::StrCat("can't start ", worker.command.name, ": ",
                                            worker.command.binary, ": ", std::strerror(error)));
  }
  ++starts_;
  ++worker.starts;
  worker.started = clock_.Now();
  worker.start_at = absl::InfiniteFuture();
  LogInfo(absl::StrCat("started ", worker.command.name, ", process ", worker.pid));
  return absl::OkStatus();
}

void WorkerSupervisor::Collect(Worker& worker) {
  if (worker.pid == 0) return;
  int wait_status = 0;
  if (::waitpid(worker.pid, &wait_status, WNOHANG) != worker.pid) return;
  worker.pid = 0;
  const std::string failure = ReadFailure(worker.command.failure_path);
  if (worker.starts == 1 && !failure.empty()) {
    if (load_failure_.ok()) load_failure_ = absl::InvalidArgumentError(failure);
    return;
  }
  const absl::Time now = clock_.Now();
  const absl::Duration delay = worker.backoff.DelayAfter(worker.started, now);
  worker.start_at = now + delay;
  worker.short_runs = now - worker.started < stable_after_ ? worker.short_runs + 1 : 0;
  std::string how =
      absl::StrCat(DescribeEnd(wait_status), " after ",
                   absl::FormatDuration(absl::Trunc(now - worker.started, absl::Milliseconds(1))));
  if (worker.short_runs > 1) absl::StrAppend(&how, ", ", worker.short_runs, " times in a row");
  if (!failure.empty()) absl::StrAppend(&how, "; it said: ", failure);
  absl::StrAppend(&how, "; it is started again after ", absl::FormatDuration(delay));
  LogWarning(absl::StrCat(worker.command.name, " ", how));
  std::erase_if(ends_, [&](const WorkerEnd& end) { return end.worker == worker.command.name; });
  ends_.push_back({.worker = worker.command.name, .how = std::move(how)});
}

void WorkerSupervisor::SignalAll(int signal) {
  for (const Worker& worker : workers_) {
    if (worker.pid != 0) ::kill(worker.pid, signal);
  }
}

bool WorkerSupervisor::AllEnded() {
  bool all = true;
  for (Worker& worker : workers_) {
    if (worker.pid != 0 && ::waitpid(worker.pid, nullptr, WNOHANG) == worker.pid) worker.pid = 0;
    all = all && worker.pid == 0;
  }
  return all;
}

absl::StatusOr<RuntimeFolder> RuntimeFolder::Make(const std::string& parent) {
  const std::string base =
      parent.empty() || parent.size() > kRuntimePathBytesMax - 16 ? "/tmp" : parent;
  std::string pattern = base + "/spillway-XXXXXX";  // mkdtemp makes it 0700
  if (::mkdtemp(pattern.data()) == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("can't make a folder in ", base, ": ", std::strerror(errno)));
  }
  return RuntimeFolder(std::move(pattern));
}

RuntimeFolder::RuntimeFolder(RuntimeFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

RuntimeFolder::~RuntimeFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace spillway
