// `spillway chat` against OpenAI's dialect over real sockets, in front of a router that does what
// the test says.
#include "server/cli/chat_command.h"

#include <csignal>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/dialects/openai_dialect.h"
#include "server/dialects/openai_error.h"
#include "server/http/http_server.h"
#include "server/http/route_table.h"
#include "tests/support/fake_router.h"
#include "tests/support/socket_dir.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

class ChatCommandTest : public ::testing::Test {
 protected:
  ChatCommandTest() {
    std::signal(SIGPIPE, SIG_IGN);
    HttpServerOptions options;
    options.listeners = {{.address = "127.0.0.1:0"}};
    server_ = std::make_unique<HttpServer>(options, clock_, metrics_);
    shard_ = router_.MakeShard(server_->Poster(0));
    dialect_ = std::make_unique<OpenAiDialect>(OpenAiOptions(), router_, *shard_, clock_);
    dialect_->AddRoutes(routes_);
    server_->SetHandler(0, routes_);
    router_.SetModels({{"first", 2048, absl::UnixEpoch()}, {"second", 2048, absl::UnixEpoch()}});
    Answer({"Hel", "lo."}, FinishReason::kStop);
    EXPECT_TRUE(server_->Start().ok());
    command_.server.url = "http://" + server_->bound_addresses().at(0);
  }
  ~ChatCommandTest() override { server_->Stop(); }

  void Answer(std::vector<std::string> pieces, FinishReason reason) {
    router_.SetScript([pieces, reason](const GenerateRequest&, ResponseSink& sink) {
      sink.OnAccepted(3);
      sink.OnStarted(0);
      for (const std::string& piece : pieces) {
        sink.OnDelta(0, {piece}, 1);
        sink.OnBatchEnd();
      }
      sink.OnFinished(0, reason, {});
    });
  }
  absl::Status Run(bool terminal = false) {
    const ChatTerminal chat = {.in = in_,
                               .out = out_,
                               .err = err_,
                               .in_is_terminal = terminal,
                               .out_is_terminal = terminal};
    return RunChat(command_, chat);
  }
  std::string Messages(size_t request) {
    return std::get<ChatPrompt>(router_.requests().at(request).prompt).messages_json;
  }

  SystemClock clock_;
  MetricRegistry metrics_;
  FakeRouter router_;
  std::string authorization_;
  RouteTable routes_{[this](HttpRequest& request, TokenRule) -> std::optional<HttpResponse> {
                       authorization_ = request.Header("Authorization").value_or("");
                       return std::nullopt;
                     },
                     FormatOpenAiError};
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<RouterShard> shard_;
  std::unique_ptr<OpenAiDialect> dialect_;
  ChatCommand command_;
  std::stringstream in_;
  std::stringstream out_;
  std::stringstream err_;
};

TEST_F(ChatCommandTest, OneMessage) {
  command_.message = "Hi there";
  command_.chat = {.system = "Be brief.", .temperature = 0.5, .tokens_max = 7};
  command_.server.token = "sk-1";
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(out_.str(), "Hello.\n");
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(authorization_, "Bearer sk-1");
  const GenerateRequest request = router_.requests().at(0);
  EXPECT_EQ(request.model, "first");
  EXPECT_EQ(request.new_tokens_max, 7);
  EXPECT_EQ(request.sampling.temperature, 0.5f);
  EXPECT_THAT(Messages(0), HasSubstr("Be brief."));
  EXPECT_THAT(Messages(0), HasSubstr("Hi there"));
}

TEST_F(ChatCommandTest, AMessageFromAPipe) {
  in_ << "line one\nline two\n";
  ASSERT_TRUE(Run().ok());
  EXPECT_THAT(Messages(0), HasSubstr("line one\\nline two\\n"));
}

TEST_F(ChatCommandTest, AConversationRemembersAndForgets) {
  command_.chat.model = "second";
  in_ << "one\n\ntwo\n/clear\nthree\n/bye\nnever\n";
  ASSERT_TRUE(Run(/*terminal=*/true).ok());
  EXPECT_EQ(out_.str(), "Hello.\nHello.\nHello.\n");
  EXPECT_THAT(err_.str(), HasSubstr("model second at http://127.0.0.1:"));
  ASSERT_EQ(router_.requests().size(), 3u);
  EXPECT_EQ(router_.requests()[0].model, "second");
  EXPECT_THAT(Messages(1), HasSubstr("\"one\""));
  EXPECT_THAT(Messages(1), HasSubstr("\"Hello.\""));
  EXPECT_THAT(Messages(2), ::testing::Not(HasSubstr("\"one\"")));
}

TEST_F(ChatCommandTest, AnAnswerThatBreaksIsAnError) {
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnAccepted(3);
    sink.OnStarted(0);
    sink.OnDelta(0, {"Hel"}, 1);
    sink.OnBatchEnd();
    sink.OnFailed({absl::UnavailableError("the worker is gone"), "worker_lost"});
  });
  command_.message = "Hi";
  const absl::Status status = Run();
  EXPECT_EQ(out_.str(), "Hel\n");
  EXPECT_EQ(std::string(status.message()), "the worker is gone");
}

TEST_F(ChatCommandTest, ARefusalIsTold) {
  router_.SetScript([](const GenerateRequest&, ResponseSink& sink) {
    sink.OnFailed({absl::NotFoundError("model \"x\" not found"), "model_not_found"});
  });
  command_.message = "Hi";
  EXPECT_EQ(std::string(Run().message()), "model \"x\" not found (HTTP 404)");
  // In a conversation the next message may come.
  command_.message = "";
  in_ << "one\n";
  EXPECT_TRUE(Run(/*terminal=*/true).ok());
  EXPECT_THAT(err_.str(), HasSubstr("(model \"x\" not found (HTTP 404))"));
}

TEST_F(ChatCommandTest, TheTerminalIsSafeFromTheModel) {
  Answer({"a\x1b[2Jb\tc\n"}, FinishReason::kLength);
  in_ << "one\n";
  ASSERT_TRUE(Run(/*terminal=*/true).ok());
  EXPECT_EQ(out_.str(), "a[2Jb\tc\n");
  EXPECT_THAT(err_.str(), HasSubstr("limit of tokens"));
}

TEST_F(ChatCommandTest, WhatIsMissingIsSaid) {
  command_.server.token_file = "/no/such/file";
  EXPECT_THAT(std::string(Run().message()), HasSubstr("/no/such/file"));
  command_.server.token_file.clear();
  EXPECT_THAT(std::string(Run().message()), HasSubstr("no message"));
  command_.server.url = "localhost";
  EXPECT_THAT(std::string(Run().message()), HasSubstr("is no URL"));
}

TEST(ServerAccessTest, TheFilesFirstLineIsTheToken) {
  const SocketDir folder;
  std::ofstream(folder.Path("token")) << "sk-file \nmore\n";
  const auto headers =
      AccessHeaders({.url = "", .token = "sk-env", .token_file = folder.Path("token")});
  ASSERT_TRUE(headers.ok());
  EXPECT_EQ(headers->at(0).value, "Bearer sk-file");
  EXPECT_EQ(AccessHeaders({.url = "", .token = "sk-env"})->at(0).value, "Bearer sk-env");
  EXPECT_TRUE(AccessHeaders({})->empty());
}

}  // namespace
}  // namespace spillway
