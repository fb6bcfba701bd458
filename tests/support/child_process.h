#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"

namespace spillway {

// A child process whose output can be read line by line. Killed in the destructor.
class ChildProcess {
 public:
  // `program`: a path, or a name to be looked for in PATH.
  ChildProcess(const std::string& program, std::vector<std::string> arguments) {
    int pipe_ends[2];
    CHECK(::pipe(pipe_ends) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
    posix_spawn_file_actions_addclose(&actions, pipe_ends[1]);
    arguments.insert(arguments.begin(), program);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    CHECK(::posix_spawnp(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(pipe_ends[1]);
    output_ = ::fdopen(pipe_ends[0], "r");
  }
  ~ChildProcess() {
    if (pid_ != 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    std::fclose(output_);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Reads lines until one has `text` in it; that line without its end, or "" at the end.
  std::string LineWith(const std::string& text) {
    char line[4096];
    while (std::fgets(line, sizeof(line), output_) != nullptr) {
      std::string read = line;
      if (!read.empty() && read.back() == '\n') read.pop_back();
      if (read.find(text) != std::string::npos) return read;
    }
    return "";
  }
  void Signal(int signal) { ::kill(pid_, signal); }
  // The exit status; 128 + the signal that ended it. Shows what it still says, for when it fails.
  int Wait() {
    char line[4096];
    while (std::fgets(line, sizeof(line), output_) != nullptr) std::fputs(line, stdout);
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
  std::FILE* output_;
};

}  // namespace spillway
