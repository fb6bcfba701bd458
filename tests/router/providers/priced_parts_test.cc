#include "router/providers/priced_parts.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

PricedParts OfChat(const std::string& members) {
  return FindPricedParts(ProviderRequestKind::kChat, absl::StrCat("{", members, "}"));
}
std::string OfContent(const std::string& content) {
  return OfChat(absl::StrCat(R"("messages":[{"role":"user","content":)", content, "}]")).unbounded;
}

TEST(PricedPartsTest, TextHasABound) {
  for (const char* content : {R"("a")", "null", "[]", R"([{"type":"text","text":"a"}, "b"])",
                              R"("what is a fileid:// for?")"}) {
    EXPECT_EQ(OfContent(content), "") << content;
  }
  EXPECT_EQ(
      OfChat(R"("enable_search":false,"audio":null,"modalities":["text"],"x":{"y":1})").unbounded,
      "");
  EXPECT_EQ(OfChat(R"("tools":[{"type":"function","function":{"name":"web_search"}}])").unbounded,
            "");
}

TEST(PricedPartsTest, WhatIsNoTextHasNone) {
  for (const char* content :
       {R"([{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}])",
        R"([{"type":"input_audio","input_audio":{}}])",
        R"([{"type":"text","text":"a","video":"u"}])", R"([{"t\u0079pe":"file"}])",
        R"([{"image":"u"}])", R"([1])", "7", R"({"type":"image"})", R"("fileid://file-fe-1")",
        R"(" fileid://a")", R"([{"type":"text","text":"fileid://a"}])",
        R"([{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}])"}) {
    EXPECT_NE(OfContent(content), "") << content;
  }
  // Of two members with one name nobody knows which one the provider reads.
  EXPECT_NE(OfChat(R"("messages":[{"content":[{"type":"image_url"}]}],"messages":[])").unbounded,
            "");
}

TEST(PricedPartsTest, WhatElseCostsHasNone) {
  for (const char* members :
       {R"("enable_search":true)", R"("web_search_options":{})", R"("prediction":{"content":"a"})",
        R"("service_tier":"priority")", R"("modalities":["text","audio"])",
        R"("tools":[{"type":"function"},{"type":"web_search"}])",
        R"("messages":[{"role":"assistant","audio":{"id":"a"}}])"}) {
    EXPECT_NE(OfChat(members).unbounded, "") << members;
  }
}

TEST(PricedPartsTest, EachPromptIsAnswered) {
  const auto prompts = [](const char* prompt) {
    return FindPricedParts(ProviderRequestKind::kCompletion,
                           absl::StrCat(R"({"prompt":)", prompt, "}"))
        .prompts;
  };
  EXPECT_EQ(prompts(R"("a")"), 1);
  EXPECT_EQ(prompts("[1,2,3]"), 1);
  EXPECT_EQ(prompts(R"(["a","b","c"])"), 3);
  EXPECT_EQ(prompts("[[1,2],[3]]"), 2);
}

}  // namespace
}  // namespace spillway
