#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/cli/restart_backoff.h"

namespace spillway {

// A worker to keep running.
struct WorkerCommand {
  std::string name;             // "worker-0"
  std::string model_name = {};  // what it is started to serve
  std::string binary;
  std::vector<std::string> arguments;  // without the binary's name
  std::string socket_path;             // removed before each start
  // Where the worker writes why it can't load its model, before it ends; removed before each
  // start. Empty: nowhere.
  std::string failure_path = {};
};

// A worker that ended, and how: for people.
struct WorkerEnd {
  std::string worker;
  std::string how;
};

// Keeps the workers of this machine running: starts them as child processes, starts one that ends
// again after a growing delay, and ends them with the front door. One whose very first start says
// that its model can't be loaded is not started again: nothing would be different.
//
// A worker has its own process group, so that Ctrl-C in a terminal reaches only the front door,
// which then lets answers end. It gets --die-with-parent: the kernel ends it when the thread that
// started it is gone, however that happened. So:
//
// Threading: one thread, the process's main thread, makes all calls.
class WorkerSupervisor {
 public:
  // `clock` must outlive it.
  WorkerSupervisor(std::vector<WorkerCommand> commands, const RestartPolicy& policy,
                   const Clock& clock);
  ~WorkerSupervisor();  // kills what still runs

  WorkerSupervisor(const WorkerSupervisor&) = delete;
  WorkerSupervisor& operator=(const WorkerSupervisor&) = delete;

  // NOT_FOUND: a binary isn't there or can't be run; nothing is left running then.
  absl::Status Start();

  // Collects workers that ended and starts those whose delay has passed. Call when SIGCHLD comes
  // and by next_start().
  void Poll();

  // Why a worker's model could not be loaded at its first start, for people. OK: no worker said so.
  absl::Status load_failure() const { return load_failure_; }

  // Those that ended since the last call. Each with how often in a row it did so before its run was
  // RestartPolicy::stable_after long, the last word that it left, and what comes next.
  std::vector<WorkerEnd> TakeEnds() { return std::exchange(ends_, {}); }

  // When a worker is due to be started; InfiniteFuture when none waits.
  absl::Time next_start() const;

  // SIGTERM to all, then SIGKILL to those that still run after `grace`. Returns when all have
  // ended.
  void Stop(absl::Duration grace);

  // The process ids of those that run, for tests and logs.
  std::vector<pid_t> running() const;
  // How often workers were started, first starts included.
  int starts() const { return starts_; }

 private:
  struct Worker {
    Worker(WorkerCommand command_in, const RestartPolicy& policy)
        : command(std::move(command_in)), backoff(policy) {}

    WorkerCommand command;
    RestartBackoff backoff;
    pid_t pid = 0;  // 0: not running
    int starts = 0;
    int short_runs = 0;  // in a row
    absl::Time started;
    absl::Time start_at = absl::InfiniteFuture();
  };

  absl::Status StartWorker(Worker& worker);
  void Collect(Worker& worker);
  void SignalAll(int signal);
  bool AllEnded();

  const Clock& clock_;
  const absl::Duration stable_after_;
  std::vector<Worker> workers_;
  std::vector<WorkerEnd> ends_;  // for each worker at most one
  int starts_ = 0;
  absl::Status load_failure_;
};

// A folder that only this user can enter, for the workers' sockets; removed with what is in it when
// the object goes.
class RuntimeFolder {
 public:
  // Below `parent` if its path leaves room for a socket's name, else below /tmp.
  static absl::StatusOr<RuntimeFolder> Make(const std::string& parent);
  ~RuntimeFolder();
  RuntimeFolder(RuntimeFolder&& other) noexcept;
  RuntimeFolder& operator=(RuntimeFolder&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit RuntimeFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace spillway
