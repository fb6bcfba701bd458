#include "server/cli/worker_supervisor.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

// The workers here are shell scripts. SIGCHLD is blocked, so that tests can wait for it.
class WorkerSupervisorTest : public ::testing::Test {
 protected:
  WorkerSupervisorTest() {
    sigemptyset(&child_);
    sigaddset(&child_, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_, nullptr);
    std::string pattern = ::testing::TempDir() + "/supervisor_test_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    ::mkfifo((folder_ + "/ready").c_str(), 0600);
  }
  ~WorkerSupervisorTest() override { std::filesystem::remove_all(folder_); }

  WorkerCommand Script(const std::string& script) {
    return {.name = "worker-0",
            .binary = "/bin/sh",
            .arguments = {"-c", script},
            .socket_path = folder_ + "/worker-0.sock"};
  }

  // Until a child of this process ends. False after ten seconds.
  bool WaitForChild() {
    const timespec wait = {.tv_sec = 10, .tv_nsec = 0};
    return ::sigtimedwait(&child_, nullptr, &wait) == SIGCHLD;
  }
  // Polls until a worker that ended has been noticed.
  void WaitUntilNoticed(WorkerSupervisor& supervisor) {
    for (int i = 0; i < 1000 && supervisor.next_start() == absl::InfiniteFuture(); ++i) {
      WaitForChild();
      supervisor.Poll();
    }
  }
  // Waits until a script has written to the pipe "ready".
  void WaitForReady() {
    std::string line;
    std::ifstream pipe(folder_ + "/ready");
    std::getline(pipe, line);
    EXPECT_EQ(line, "ready");
  }

  sigset_t child_;
  std::string folder_;
  ManualClock clock_;
};

TEST_F(WorkerSupervisorTest, WorkerThatEndsIsStartedAgainAfterItsDelay) {
  WorkerSupervisor supervisor({Script("exit 3")}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  WaitUntilNoticed(supervisor);
  EXPECT_EQ(supervisor.next_start(), clock_.Now() + absl::Milliseconds(100));
  EXPECT_TRUE(supervisor.running().empty());
  clock_.Advance(absl::Milliseconds(99));
  supervisor.Poll();
  EXPECT_EQ(supervisor.starts(), 1);
  clock_.Advance(absl::Milliseconds(1));
  supervisor.Poll();
  EXPECT_EQ(supervisor.starts(), 2);
  WaitUntilNoticed(supervisor);
  EXPECT_EQ(supervisor.next_start(), clock_.Now() + absl::Milliseconds(200));
}

TEST_F(WorkerSupervisorTest, TellsHowWorkersEndedAndHowOftenInARow) {
  WorkerCommand command = Script("exit 3");
  command.failure_path = folder_ + "/why";
  WorkerSupervisor supervisor({command}, {.stable_after = absl::Seconds(30)}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  EXPECT_TRUE(supervisor.TakeEnds().empty());
  const auto next_end = [&](absl::Duration run) {
    clock_.Advance(run);
    WaitUntilNoticed(supervisor);
    const std::vector<WorkerEnd> ends = supervisor.TakeEnds();
    EXPECT_EQ(ends.size(), 1u);
    EXPECT_TRUE(supervisor.TakeEnds().empty()) << "told twice";
    clock_.Advance(absl::Seconds(10));
    supervisor.Poll();  // Starts it again.
    return ends.empty() ? WorkerEnd{} : ends.front();
  };
  EXPECT_EQ(next_end(absl::Seconds(2)).how,
            "ended with status 3 after 2s; it is started again after 100ms");
  EXPECT_EQ(next_end(absl::Seconds(1)).how,
            "ended with status 3 after 1s, 2 times in a row; it is started again after 200ms");
  EXPECT_EQ(next_end(absl::Seconds(30)).how,
            "ended with status 3 after 30s; it is started again after 100ms");
  EXPECT_EQ(next_end(absl::Seconds(1)).worker, "worker-0");
}

TEST_F(WorkerSupervisorTest, ALaterStartThatCannotLoadTellsWhy) {
  const std::string why = folder_ + "/why", second = folder_ + "/second";
  WorkerCommand command = Script("[ -e " + second + " ] && printf 'no memory' > " + why +
                                 "; touch " + second + "; exit 1");
  command.failure_path = why;
  WorkerSupervisor supervisor({command}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  WaitUntilNoticed(supervisor);
  supervisor.TakeEnds();
  clock_.Advance(absl::Seconds(1));
  supervisor.Poll();
  WaitUntilNoticed(supervisor);
  const std::vector<WorkerEnd> ends = supervisor.TakeEnds();
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends.front().how,
            "ended with status 1 after 0, 2 times in a row; it said: no memory; it is started "
            "again after 200ms");
  EXPECT_TRUE(supervisor.load_failure().ok()) << "it had loaded once";
}

TEST_F(WorkerSupervisorTest, WorkerThatCannotLoadIsNotStartedAgain) {
  WorkerCommand command = Script("printf 'm.gguf: no header' > " + folder_ + "/why; exit 1");
  command.failure_path = folder_ + "/why";
  WorkerSupervisor supervisor({command}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  for (int i = 0; i < 1000 && supervisor.load_failure().ok(); ++i) {
    WaitForChild();
    supervisor.Poll();
  }
  EXPECT_EQ(supervisor.load_failure().message(), "m.gguf: no header");
  EXPECT_EQ(supervisor.next_start(), absl::InfiniteFuture());
}

TEST_F(WorkerSupervisorTest, WorkerThatOnceLoadedIsStartedAgainAnyhow) {
  // The first start ends without a word; the second, with the model gone, says so.
  WorkerCommand command = Script("if [ -e " + folder_ + "/ran ]; then printf gone > " + folder_ +
                                 "/why; fi; touch " + folder_ + "/ran; exit 1");
  command.failure_path = folder_ + "/why";
  std::ofstream(command.failure_path) << "stale";
  WorkerSupervisor supervisor({command}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  WaitUntilNoticed(supervisor);
  clock_.Advance(absl::Seconds(1));
  supervisor.Poll();
  WaitUntilNoticed(supervisor);
  EXPECT_TRUE(std::filesystem::exists(command.failure_path));
  EXPECT_TRUE(supervisor.load_failure().ok());
  EXPECT_LT(supervisor.next_start(), absl::InfiniteFuture());
}

TEST_F(WorkerSupervisorTest, KilledWorkerIsStartedAgainAndOthersStay) {
  WorkerCommand second = Script("exec sleep 1000");
  second.name = "worker-1";
  WorkerSupervisor supervisor({Script("exec sleep 1000"), second}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  const std::vector<pid_t> before = supervisor.running();
  ASSERT_EQ(before.size(), 2u);
  ::kill(before[0], SIGKILL);
  WaitUntilNoticed(supervisor);
  clock_.Advance(absl::Seconds(1));
  supervisor.Poll();
  const std::vector<pid_t> after = supervisor.running();
  ASSERT_EQ(after.size(), 2u);
  EXPECT_NE(after[0], before[0]);
  EXPECT_EQ(after[1], before[1]);
}

TEST_F(WorkerSupervisorTest, StopEndsWorkersThatListen) {
  WorkerSupervisor supervisor(
      {Script("trap 'touch " + folder_ + "/ended; exit 0' TERM; echo ready > " + folder_ +
              "/ready; while :; do sleep 0.01; done")},
      {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  WaitForReady();
  // The manual clock stands still: only an orderly end can let this return.
  supervisor.Stop(absl::Seconds(10));
  EXPECT_TRUE(supervisor.running().empty());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/ended"));
}

TEST_F(WorkerSupervisorTest, StopKillsWorkersThatDoNot) {
  WorkerSupervisor supervisor(
      {Script("trap '' TERM; echo ready > " + folder_ + "/ready; while :; do sleep 0.01; done")},
      {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  WaitForReady();
  const pid_t pid = supervisor.running().at(0);
  supervisor.Stop(absl::ZeroDuration());
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_TRUE(supervisor.running().empty());
  supervisor.Poll();
  EXPECT_EQ(supervisor.starts(), 1);
}

TEST_F(WorkerSupervisorTest, WorkersHaveTheirOwnGroupAndTakeSignals) {
  WorkerSupervisor supervisor({Script("exec sleep 1000")}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  const pid_t pid = supervisor.running().at(0);
  EXPECT_EQ(::getpgid(pid), pid);
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string blocked;
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("SigBlk:", 0) == 0) blocked = line;
  }
  EXPECT_NE(blocked.find("0000000000000000"), std::string::npos) << blocked;
}

TEST_F(WorkerSupervisorTest, StaleSocketIsRemovedBeforeTheStart) {
  std::ofstream(folder_ + "/worker-0.sock") << "stale";
  WorkerSupervisor supervisor({Script("exec sleep 1000")}, {}, clock_);
  ASSERT_TRUE(supervisor.Start().ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/worker-0.sock"));
}

TEST_F(WorkerSupervisorTest, MissingBinaryIsAnErrorThatNamesIt) {
  WorkerCommand command = Script("");
  command.binary = folder_ + "/no-such-worker";
  WorkerSupervisor supervisor({Script("exec sleep 1000"), command}, {}, clock_);
  const absl::Status status = supervisor.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("no-such-worker"), absl::string_view::npos);
  EXPECT_TRUE(supervisor.running().empty());
}

TEST_F(WorkerSupervisorTest, RuntimeFolderIsPrivateAndGoes) {
  std::string path;
  {
    auto folder = RuntimeFolder::Make(folder_);
    ASSERT_TRUE(folder.ok());
    path = folder->path();
    EXPECT_EQ(path.rfind(folder_, 0), 0u);
    struct stat status;
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    std::ofstream(path + "/worker-0.sock") << "x";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  auto elsewhere = RuntimeFolder::Make("/" + std::string(200, 'x'));
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_EQ(elsewhere->path().rfind("/tmp/", 0), 0u);
}

}  // namespace
}  // namespace spillway
