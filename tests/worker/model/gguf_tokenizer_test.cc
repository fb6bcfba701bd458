#include "worker/model/gguf_tokenizer.h"

#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using TokenType = TokenizerSpec::TokenType;

// A small vocabulary's keys; a test changes some of them.
struct Vocabulary {
  std::string model = "gpt2";
  std::string pre = "smollm";
  std::vector<std::string> tokens = {"<|im_end|>", "a", "b", "ab", "<|endoftext|>"};
  std::vector<int32_t> types = {3, 1, 1, 4, 3};
  std::vector<std::string> merges = {"a b"};
  GgufBuilder extra;

  absl::StatusOr<TokenizerSpec> Spec() const {
    GgufBuilder builder = extra;
    if (!model.empty()) builder.String("tokenizer.ggml.model", model);
    if (!pre.empty()) builder.String("tokenizer.ggml.pre", pre);
    builder.Strings("tokenizer.ggml.tokens", tokens);
    if (!types.empty()) builder.Int32s("tokenizer.ggml.token_type", types);
    builder.Strings("tokenizer.ggml.merges", merges);
    const std::vector<std::byte> bytes = builder.Build();
    return TokenizerSpecFromGguf(**GgufFile::Parse(bytes));
  }
};

TEST(GgufTokenizerTest, ReadsAVocabulary) {
  Vocabulary vocabulary;
  vocabulary.extra.Uint32("tokenizer.ggml.bos_token_id", 1)
      .Uint32("tokenizer.ggml.eos_token_id", 4);
  vocabulary.extra.Bool("tokenizer.ggml.add_bos_token", true);

  const absl::StatusOr<TokenizerSpec> spec = vocabulary.Spec();

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->kind, TokenizerSpec::Kind::kByteLevelBpe);
  EXPECT_EQ(spec->pre_tokenizer, "smollm");
  EXPECT_EQ(spec->tokens, vocabulary.tokens);
  EXPECT_THAT(spec->types, ElementsAre(TokenType::kControl, TokenType::kNormal, TokenType::kNormal,
                                       TokenType::kUserDefined, TokenType::kControl));
  EXPECT_THAT(spec->merges, ElementsAre(MergeRule{1, 2, 3}));
  EXPECT_EQ(spec->bos, 1);
  EXPECT_EQ(spec->eos, 4);
  EXPECT_TRUE(spec->add_bos);
}

TEST(GgufTokenizerTest, EveryTokenTypeHasItsNumber) {
  Vocabulary vocabulary;
  vocabulary.tokens = {"a", "b", "c", "d", "e", "f"};
  vocabulary.types = {1, 2, 3, 4, 5, 6};
  vocabulary.merges.clear();

  EXPECT_THAT(vocabulary.Spec()->types,
              ElementsAre(TokenType::kNormal, TokenType::kUnknown, TokenType::kControl,
                          TokenType::kUserDefined, TokenType::kUnused, TokenType::kByte));
}

TEST(GgufTokenizerTest, DefaultsOfWhatMayBeMissing) {
  Vocabulary vocabulary;
  vocabulary.pre.clear();
  vocabulary.types.clear();

  const absl::StatusOr<TokenizerSpec> spec = vocabulary.Spec();

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->pre_tokenizer, "default");
  EXPECT_THAT(spec->types, ::testing::Each(TokenType::kNormal));
  EXPECT_EQ(spec->bos, -1);
  EXPECT_EQ(spec->eos, -1);
  EXPECT_FALSE(spec->add_bos);
}

TEST(GgufTokenizerTest, EndOfTextIsEosAndKnownControlTokens) {
  Vocabulary vocabulary;
  vocabulary.extra.Uint32("tokenizer.ggml.eos_token_id", 2);

  EXPECT_THAT(vocabulary.Spec()->end_of_text, ElementsAre(0, 2, 4));
}

TEST(GgufTokenizerTest, EndOfTextIsAlsoEotAndEomOfTheFile) {
  Vocabulary vocabulary;
  vocabulary.types = {1, 1, 1, 1, 1};
  vocabulary.extra.Uint32("tokenizer.ggml.eot_token_id", 3)
      .Uint32("tokenizer.ggml.eom_token_id", 1);

  EXPECT_THAT(vocabulary.Spec()->end_of_text, ElementsAre(1, 3));
}

TEST(GgufTokenizerTest, UserDefinedMarkersAreControlTokens) {
  Vocabulary vocabulary;
  vocabulary.types = {4, 1, 1, 4, 3};

  const absl::StatusOr<TokenizerSpec> spec = vocabulary.Spec();

  EXPECT_EQ(spec->types[0], TokenType::kControl) << "<|im_end|>";
  EXPECT_EQ(spec->types[3], TokenType::kUserDefined) << "ab";
  EXPECT_THAT(spec->end_of_text, ElementsAre(0, 4));
}

TEST(GgufTokenizerTest, MarkersThatAreOrdinaryTextEndNothing) {
  Vocabulary vocabulary;
  vocabulary.types = {1, 1, 1, 1, 1};

  EXPECT_THAT(vocabulary.Spec()->end_of_text, IsEmpty());
}

TEST(GgufTokenizerTest, HarmonysEndOfAMessageIsNotTheEnd) {
  Vocabulary vocabulary;
  vocabulary.tokens = {"<|end|>", "<|return|>", "<|call|>"};
  vocabulary.types = {3, 3, 3};
  vocabulary.merges.clear();
  EXPECT_THAT(vocabulary.Spec()->end_of_text, ElementsAre(1, 2));

  vocabulary.tokens = {"<|end|>", "<|return|>", "x"};
  EXPECT_THAT(vocabulary.Spec()->end_of_text, ElementsAre(0, 1));
}

TEST(GgufTokenizerTest, SomeFamiliesAddBosUnasked) {
  Vocabulary vocabulary;
  vocabulary.pre = "llama-bpe";
  EXPECT_FALSE(vocabulary.Spec()->add_bos) << "there is none to add";

  vocabulary.extra.Uint32("tokenizer.ggml.bos_token_id", 1);
  EXPECT_TRUE(vocabulary.Spec()->add_bos);

  vocabulary.extra.Bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_FALSE(vocabulary.Spec()->add_bos);
}

struct BadVocabulary {
  const char* message;
  std::function<void(Vocabulary&)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

const BadVocabulary kBadVocabularies[] = {
    {"has no tokenizer.ggml.model", [](Vocabulary& v) { v.model.clear(); },
     absl::StatusCode::kNotFound},
    {"is \"rwkv\"; this build runs: gpt2 (byte-level BPE), llama",
     [](Vocabulary& v) { v.model = "rwkv"; }, absl::StatusCode::kUnimplemented},
    {"tokens has 0 entries", [](Vocabulary& v) { v.tokens.clear(); }},
    {"tokens has 1048577 entries, beyond 1 to 1048576",
     [](Vocabulary& v) { v.tokens.assign((1 << 20) + 1, ""); }},
    {"merge \"ab\" is not two tokens", [](Vocabulary& v) { v.merges = {"ab"}; }},
    {"token_type has 4 entries for 5 tokens", [](Vocabulary& v) { v.types.pop_back(); }},
    {"token_type of token 2 is 0, beyond 1 to 6", [](Vocabulary& v) { v.types[2] = 0; }},
    {"token_type of token 2 is 7, beyond 1 to 6", [](Vocabulary& v) { v.types[2] = 7; }},
    {"token_type of token 4 is -1,", [](Vocabulary& v) { v.types[4] = -1; }},
    {"bos_token_id is 5, beyond 0 to 4",
     [](Vocabulary& v) { v.extra.Uint32("tokenizer.ggml.bos_token_id", 5); }},
    {"eos_token_id is 4294967295,",
     [](Vocabulary& v) { v.extra.Uint32("tokenizer.ggml.eos_token_id", ~0u); }},
    {"eos_token_id is -1,",
     [](Vocabulary& v) { v.extra.Int32("tokenizer.ggml.eos_token_id", -1); }},
    {"eot_token_id is 99,",
     [](Vocabulary& v) { v.extra.Uint32("tokenizer.ggml.eot_token_id", 99); }},
    {"eom_token_id is 99,",
     [](Vocabulary& v) { v.extra.Uint32("tokenizer.ggml.eom_token_id", 99); }},
    {"eos_token_id is a string",
     [](Vocabulary& v) { v.extra.String("tokenizer.ggml.eos_token_id", "2"); }},
    {"there is no tokenizer.ggml.bos_token_id",
     [](Vocabulary& v) { v.extra.Bool("tokenizer.ggml.add_bos_token", true); }},
};

TEST(GgufTokenizerTest, RefusesAndNamesTheKey) {
  for (const BadVocabulary& bad : kBadVocabularies) {
    Vocabulary vocabulary;
    bad.spoil(vocabulary);

    const absl::Status status = vocabulary.Spec().status();

    EXPECT_EQ(status.code(), bad.code) << bad.message << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

// "name: source; …"
absl::StatusOr<std::string> ChatTemplatesOf(const GgufBuilder& builder) {
  const std::vector<std::byte> bytes = builder.Build();
  const auto templates = ChatTemplatesFromGguf(**GgufFile::Parse(bytes));
  if (!templates.ok()) return templates.status();
  std::string told;
  for (const NamedTemplate& one : *templates) told += one.name + ": " + one.source + "; ";
  return told;
}

TEST(GgufTokenizerTest, ChatTemplatesAreTheFiles) {
  const std::string key = "tokenizer.chat_template";
  EXPECT_EQ(*ChatTemplatesOf(GgufBuilder()), "");
  EXPECT_EQ(*ChatTemplatesOf(GgufBuilder().String(key, "{{ x }}")), "default: {{ x }}; ");
  EXPECT_EQ(*ChatTemplatesOf(GgufBuilder()
                                 .Strings("tokenizer.chat_templates", {"tool_use", "rag"})
                                 .String(key + ".rag", "r")
                                 .String(key + ".tool_use", "t")
                                 .String(key, "d")),
            "default: d; tool_use: t; rag: r; ");
}

TEST(GgufTokenizerTest, ChatTemplatesHaveLimits) {
  const std::string key = "tokenizer.chat_template";
  EXPECT_TRUE(ChatTemplatesOf(GgufBuilder().String(key, std::string(1 << 20, 'x'))).ok());
  EXPECT_EQ(
      ChatTemplatesOf(GgufBuilder().String(key, std::string((1 << 20) + 1, 'x'))).status().code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ChatTemplatesOf(GgufBuilder().Uint32(key, 1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ChatTemplatesOf(GgufBuilder().Strings(key + "s", {"gone"})).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ChatTemplatesOf(
                              GgufBuilder().Strings(key + "s", std::vector<std::string>(65, "x")))
                              .status()
                              .message()),
              HasSubstr("65 names"));
}

}  // namespace
}  // namespace spillway
