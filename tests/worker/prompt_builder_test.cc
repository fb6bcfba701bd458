#include "worker/prompt_builder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ChatInput Chat(std::string messages_json) {
  ChatInput input;
  input.messages_json = std::move(messages_json);
  return input;
}

std::unique_ptr<Tokenizer> BytesWithBos() {
  TokenizerSpec spec = ByteVocabulary();
  spec.bos = kByteVocabularyStart;
  spec.add_bos = true;
  return *Tokenizer::Create(std::move(spec));
}

TEST(PromptBuilderTest, TextGetsBosWhereTheModelWantsIt) {
  const auto tokenizer = BytesWithBos();
  const PromptBuilder prompts(*tokenizer, nullptr);
  EXPECT_THAT(prompts.Build("ab")->tokens, ElementsAre(kByteVocabularyStart, 'a', 'b'));
}

TEST(PromptBuilderTest, AChatGetsWhatItsTemplateWritesAndNoMore) {
  const auto tokenizer = BytesWithBos();
  const auto chat_template = *ChatTemplate::Parse("{{ messages[0].content }}", "", "");
  const PromptBuilder prompts(*tokenizer, chat_template.get());
  const absl::StatusOr<BuiltPrompt> built = prompts.Build(Chat(R"([{"content":"hi"}])"));
  EXPECT_THAT(built->tokens, ElementsAre('h', 'i'));
  EXPECT_EQ(built->text, "hi");
}

TEST(PromptBuilderTest, AChatWithToolsGetsTheTemplateForToolsIfThereIsOne) {
  const auto tokenizer = BytesWithBos();
  const auto usual = *ChatTemplate::Parse("usual", "", "");
  const auto with_tools = *ChatTemplate::Parse("tools{# </think> #}", "", "");
  ChatInput plain = Chat("[]");
  ChatInput tools = Chat("[]");
  tools.tools_json = "[1]";

  const PromptBuilder both(*tokenizer, usual.get(), with_tools.get());
  EXPECT_EQ(both.Build(plain)->text, "usual");
  EXPECT_EQ(both.Build(plain)->reasoning.format, nullptr);
  EXPECT_EQ(both.Build(tools)->text, "tools");
  EXPECT_NE(both.Build(tools)->reasoning.format, nullptr);
  EXPECT_EQ(PromptBuilder(*tokenizer, usual.get()).Build(tools)->text, "usual");
  const PromptBuilder no_usual(*tokenizer, nullptr, with_tools.get());
  EXPECT_EQ(no_usual.Build(tools)->text, "tools");
  EXPECT_THAT(std::string(no_usual.Build(plain).status().message()), HasSubstr("with tools"));
}

TEST(PromptBuilderTest, AChatWithoutATemplateSaysWhatToDoInstead) {
  const auto tokenizer = BytesWithBos();
  const PromptBuilder prompts(*tokenizer, nullptr);
  const absl::Status status = prompts.Build(Chat("[]")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/v1/completions"));
}

TEST(PromptBuilderTest, ATokenOutsideTheVocabularyIsNamed) {
  const auto tokenizer = BytesWithBos();
  const PromptBuilder prompts(*tokenizer, nullptr);
  for (TokenId bad : {-1, kByteVocabularySize}) {
    const absl::Status status = prompts.Build(std::vector<TokenId>{1, bad}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("position 1"));
  }
}

TEST(PromptBuilderTest, AnEmptyPromptIsRefused) {
  const auto tokenizer = *Tokenizer::Create(ByteVocabulary());
  const PromptBuilder prompts(*tokenizer, nullptr);
  EXPECT_EQ(prompts.Build("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(prompts.Build(std::vector<TokenId>{}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace spillway
