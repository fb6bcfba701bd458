#include "server/cli/chat_conversation.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(ChatConversationTest, TellsAllThatWasSaid) {
  ChatConversation chat({.model = "m", .system = "Be brief."});
  EXPECT_EQ(chat.Ask("Hi"), R"({"model":"m","messages":[{"role":"system","content":"Be brief."},)"
                            R"({"role":"user","content":"Hi"}],"stream":true})");
  chat.Answered("Hello.");
  chat.Ask("lost");
  chat.TakeBack();
  EXPECT_EQ(chat.Ask("Bye"),
            R"({"model":"m","messages":[{"role":"system","content":"Be brief."},)"
            R"({"role":"user","content":"Hi"},{"role":"assistant","content":"Hello."},)"
            R"({"role":"user","content":"Bye"}],"stream":true})");
  chat.Forget();
  EXPECT_EQ(chat.Ask("New"), R"({"model":"m","messages":[{"role":"system","content":"Be brief."},)"
                             R"({"role":"user","content":"New"}],"stream":true})");
}

TEST(ChatConversationTest, OptionsAreSentOnlyWhereGiven) {
  ChatConversation chat({.model = "m", .temperature = 0.5, .tokens_max = 9});
  EXPECT_EQ(chat.Ask("a\xff"),
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\xef\xbf\xbd\"}],"
            "\"stream\":true,\"temperature\":0.5,\"max_tokens\":9}");
}

}  // namespace
}  // namespace spillway
