// The `spillway` program itself, in front of a worker without a model: flags, tokens, a stream,
// signals. Starts the real binary as a child process.
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_worker.h"
#include "tests/support/socket_client.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Process : public ChildProcess {
 public:
  explicit Process(std::vector<std::string> arguments)
      : ChildProcess(std::string(SPILLWAY_BINARY_DIR) + "/bin/spillway", std::move(arguments)) {}
};

class ServeTest : public ::testing::Test {
 protected:
  std::vector<std::string> ServeArguments(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"serve",
                                          "--listen",
                                          "127.0.0.1:0",
                                          "--worker",
                                          "unix:" + folder_.Path("worker.sock"),
                                          "--data-dir",
                                          folder_.Path("data")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  // Starts the server and waits until its worker is ready.
  std::unique_ptr<Process> StartServer(std::vector<std::string> more) {
    auto process = std::make_unique<Process>(ServeArguments(std::move(more)));
    const std::string line = process->LineWith("listening on http://");
    address_ = line.substr(line.rfind('/') + 1);
    EXPECT_THAT(process->LineWith("ready: "), HasSubstr("tiny-model, context 1000"));
    return process;
  }
  static std::string Chat(const std::string& token, const std::string& fields) {
    const std::string body =
        R"({"seed":7,"max_tokens":4,"messages":[{"role":"user","content":"hi"}])" + fields + "}";
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " +
           token + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  std::string Token() {
    Process create({"token", "create", "test", "--data-dir", folder_.Path("data")});
    const std::string token = create.LineWith("sk-");
    EXPECT_EQ(create.Wait(), 0);
    return token;
  }

  SocketDir folder_;
  std::string address_;
};

TEST_F(ServeTest, ServesAChatWithATokenAndStopsOnCtrlC) {
  const std::string token = Token();
  FakeWorker worker(folder_.Path("worker.sock"));
  std::unique_ptr<Process> server = StartServer({});
  SocketClient client(address_);
  client.Send(Chat("wrong", ""));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 401"));
  client.Send(Chat(token, ""));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\"content\":\"" + FakeAnswer(7, 4) + "\""));
  client.Send(Chat(token, R"(,"stream":true)"));
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  client.Send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 200"));
  client.Send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadResponse(),
              HasSubstr("spillway_http_requests_total{route=\"/v1/chat/completions\""));
  server->Signal(SIGINT);
  EXPECT_EQ(server->Wait(), 0);
}

TEST_F(ServeTest, DrainingServerLetsAStreamEnd) {
  FakeWorker worker(folder_.Path("worker.sock"), {.hold_after = 2});
  std::unique_ptr<Process> server =
      StartServer({"--no-auth", "--drain-delay", "0", "--grace", "60"});
  SocketClient client(address_);
  client.Send(Chat("", R"(,"stream":true)"));
  client.ReadUntil("\"role\":\"assistant\"");
  server->Signal(SIGTERM);
  EXPECT_THAT(server->LineWith("draining"), HasSubstr("draining"));
  worker.Allow(100);
  EXPECT_THAT(client.ReadToEnd(), EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
  EXPECT_EQ(server->Wait(), 0);
}

TEST_F(ServeTest, SecondSignalCutsAStreamWithoutItsEnd) {
  FakeWorker worker(folder_.Path("worker.sock"), {.hold_after = 2});
  std::unique_ptr<Process> server = StartServer({"--no-auth", "--grace", "600"});
  SocketClient client(address_);
  client.Send(Chat("", R"(,"stream":true)"));
  client.ReadUntil("\"role\":\"assistant\"");
  server->Signal(SIGINT);
  EXPECT_THAT(server->LineWith("draining"), HasSubstr("draining"));
  server->Signal(SIGINT);
  const std::string rest = client.ReadToEnd();
  EXPECT_THAT(rest, Not(HasSubstr("[DONE]")));
  EXPECT_THAT(rest, Not(EndsWith("0\r\n\r\n")));
  EXPECT_EQ(server->Wait(), 0);
}

TEST_F(ServeTest, WorkerThatDiesIsStartedAgainAndEndsWithTheServer) {
  const std::string script = folder_.Path("worker");
  const std::string pids = folder_.Path("pids");
  ASSERT_EQ(::mkfifo(pids.c_str(), 0600), 0);
  std::ofstream(script) << "#!/bin/sh\necho $$ \"$@\" > " << pids << "\nexec sleep 1000\n";
  ASSERT_EQ(::chmod(script.c_str(), 0700), 0);
  Process server({"serve", "--listen", "127.0.0.1:0", "--no-auth", "--data-dir",
                  folder_.Path("data"), "--model", script, "--worker-binary", script});
  // Open for writing too, so that it has no end between two workers.
  std::fstream pipe(pids, std::ios::in | std::ios::out);
  const auto next_worker = [&pipe] {
    std::string line;
    std::getline(pipe, line);
    return line;
  };
  const std::string first = next_worker();
  EXPECT_THAT(first, HasSubstr(" --model " + script + " --model-name worker --listen unix:/"));
  EXPECT_THAT(first, HasSubstr(" --die-with-parent"));
  ::kill(std::stoi(first), SIGKILL);
  const std::string second = next_worker();
  EXPECT_NE(std::stoi(first), std::stoi(second));
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_EQ(::kill(std::stoi(second), 0), -1);
}

TEST_F(ServeTest, EachModelHasItsWorker) {
  const std::string script = folder_.Path("worker");
  const std::string started = folder_.Path("started");
  ASSERT_EQ(::mkfifo(started.c_str(), 0600), 0);
  std::ofstream(script) << "#!/bin/sh\necho \"$@\" > " << started << "\nexec sleep 1000\n";
  ASSERT_EQ(::chmod(script.c_str(), 0700), 0);
  Process server({"serve", "--listen", "127.0.0.1:0", "--no-auth", "--data-dir",
                  folder_.Path("data"), "--model", folder_.Path(""), "--model", "b=" + script,
                  "--worker-binary", script});
  std::fstream pipe(started, std::ios::in | std::ios::out);
  std::string all;
  for (std::string line; all.find("--model-name b ") == std::string::npos ||
                         all.find("worker-0.sock") == std::string::npos;) {
    std::getline(pipe, line);
    all += line + "\n";
  }
  EXPECT_THAT(all, HasSubstr("--model " + folder_.Path("") + " --model-name "));
  EXPECT_THAT(all, HasSubstr("--model " + script + " --model-name b --listen unix:/"));
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(ServeTest, ModelThatCannotBeLoadedEndsItWithTheReason) {
  const std::string script = folder_.Path("worker");
  std::ofstream(script) << "#!/bin/sh\nwhile [ \"$1\" != --failure-file ]; do shift; done\n"
                           "printf 'folder/config.json: model_type is \"x\"' > \"$2\"\nexit 1\n";
  ASSERT_EQ(::chmod(script.c_str(), 0700), 0);
  Process server({"serve", "--listen", "127.0.0.1:0", "--no-auth", "--data-dir",
                  folder_.Path("data"), "--model", script, "--worker-binary", script});
  EXPECT_THAT(server.LineWith("spillway: "),
              EndsWith("spillway: folder/config.json: model_type is \"x\""));
  EXPECT_EQ(server.Wait(), 1);
}

TEST_F(ServeTest, MistakesEndWithClearWords) {
  const auto says = [](std::vector<std::string> arguments, const std::string& words) {
    Process process(std::move(arguments));
    EXPECT_THAT(process.LineWith(words), HasSubstr(words));
    EXPECT_NE(process.Wait(), 0);
  };
  says({"serve", "--model", "/no/such.gguf"}, "/no/such.gguf: there is no such model");
  says(ServeArguments({"--listen", "0.0.0.0:0", "--no-auth"}), "--allow-open-access");
  says(ServeArguments({"--token-sha256", "abc"}), "64 hex digits");
  says({"token", "revoke", "nobody", "--data-dir", folder_.Path("data")}, "no live token");
}

}  // namespace
}  // namespace spillway
