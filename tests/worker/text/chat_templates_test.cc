#include "worker/text/chat_templates.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// "usual, with tools", where each template writes its name.
std::string Chosen(const std::vector<std::string>& names) {
  std::vector<NamedTemplate> named;
  for (const std::string& name : names) named.push_back({.name = name, .source = name});
  const auto templates = ParseChatTemplates(named, {});
  EXPECT_TRUE(templates.ok()) << templates.status();
  const auto written = [](const std::unique_ptr<ChatTemplate>& chosen) -> std::string {
    if (chosen == nullptr) return "none";
    ChatInput input;
    input.messages_json = "[]";
    return chosen->Render(input)->text;
  };
  EXPECT_EQ(templates->empty(), templates->usual == nullptr && templates->with_tools == nullptr);
  return written(templates->usual) + ", " + written(templates->with_tools);
}

TEST(ChatTemplatesTest, AreChosenByName) {
  EXPECT_EQ(Chosen({"rag", "tool_use", "default"}), "default, tool_use");
  EXPECT_EQ(Chosen({"rag", "default"}), "default, none");
  EXPECT_EQ(Chosen({"rag", "tool_use"}), "none, tool_use");
  EXPECT_EQ(Chosen({"rag", "other"}), "none, none");
}

TEST(ChatTemplatesTest, TheOnlyOneIsTheDefault) {
  EXPECT_EQ(Chosen({"default"}), "default, none");
  EXPECT_EQ(Chosen({"tool_use"}), "tool_use, none");
  EXPECT_EQ(Chosen({}), "none, none");
}

TEST(ChatTemplatesTest, OneThatIsUsedAndCannotBeParsedIsNamed) {
  const auto refusal = [](const std::vector<NamedTemplate>& named) {
    return std::string(ParseChatTemplates(named, {}).status().message());
  };
  EXPECT_THAT(refusal({{"default", ""}, {"tool_use", "{% if %}"}}), HasSubstr("\"tool_use\": "));
  EXPECT_THAT(refusal({{"default", "{% if %}"}}), HasSubstr("\"default\": "));
  EXPECT_EQ(refusal({{"default", ""}, {"rag", "{% if %}"}}), "");
}

}  // namespace
}  // namespace spillway
