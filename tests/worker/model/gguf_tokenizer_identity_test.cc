// Small tokenizers of some families as GGUF files, which name the family where tokenizer.json
// describes it: the ids must be those of Hugging Face's `tokenizers`
// (tests/worker/text/testdata/tokenizers/, written by tools/make_tokenizer_fixtures.py).
#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/gguf_builder.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

using nlohmann::json;

json ReadFixture(const std::string& name) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/tokenizers/" + name +
                     ".json");
  EXPECT_TRUE(file.good()) << name;
  return json::parse(file);
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};

Vocabulary VocabularyOf(const json& tokenizer) {
  std::map<int, std::string> by_id;
  for (const auto& [text, id] : tokenizer["model"]["vocab"].items()) by_id[id] = text;
  std::map<int, int32_t> types;
  for (const json& added : tokenizer["added_tokens"]) {
    by_id[added["id"]] = added["content"];
    types[added["id"]] = added["special"] ? 3 : 4;
  }
  Vocabulary vocabulary;
  for (const auto& [id, text] : by_id) {
    EXPECT_EQ(id, std::ssize(vocabulary.tokens));
    vocabulary.tokens.push_back(text);
    vocabulary.types.push_back(types.contains(id) ? types[id] : 1);
  }
  return vocabulary;
}

std::unique_ptr<Tokenizer> Make(GgufBuilder& builder, const Vocabulary& vocabulary) {
  builder.Strings("tokenizer.ggml.tokens", vocabulary.tokens);
  builder.Int32s("tokenizer.ggml.token_type", vocabulary.types);
  const std::vector<std::byte> bytes = builder.Build();
  const auto file = GgufFile::Parse(bytes);
  EXPECT_TRUE(file.ok()) << file.status();
  auto spec = TokenizerSpecFromGguf(**file);
  EXPECT_TRUE(spec.ok()) << spec.status();
  auto tokenizer = Tokenizer::Create(*std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

void CompareIds(const Tokenizer& tokenizer, const json& cases) {
  EXPECT_GT(cases.size(), 90u);
  for (const json& entry : cases) {
    const std::string text = entry[0];
    const TextRange whole{0, text.size()};
    const json& untrusted = entry[2].is_null() ? entry[1] : entry[2];
    EXPECT_EQ(tokenizer.Encode(text, {&whole, 1}), entry[1].get<std::vector<TokenId>>())
        << entry[0].dump();
    EXPECT_EQ(tokenizer.Encode(text), untrusted.get<std::vector<TokenId>>()) << entry[0].dump();
  }
}

TEST(GgufTokenizerIdentityTest, FamiliesOfByteLevelBpeAreWhatTheirFilesDescribe) {
  const std::map<std::string, std::string> kFamilies = {{"smollm", "smollm"},
                                                        {"llama3", "llama-bpe"},
                                                        {"qwen2", "qwen2"},
                                                        {"deepseek3", "deepseek-v3"}};
  for (const auto& [name, family] : kFamilies) {
    SCOPED_TRACE(name);
    const json fixture = ReadFixture(name);
    std::vector<std::string> merges;
    for (const json& merge : fixture["tokenizer"]["model"]["merges"]) {
      merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    }
    GgufBuilder builder;
    builder.String("tokenizer.ggml.model", "gpt2").String("tokenizer.ggml.pre", family);
    builder.Strings("tokenizer.ggml.merges", merges);

    CompareIds(*Make(builder, VocabularyOf(fixture["tokenizer"])), fixture["cases"]);
  }
}

size_t LongestWord(const std::string& text) {
  size_t longest = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] != ' ' && text[i] != '\n') continue;
    longest = std::max(longest, i - begin);
    begin = i + 1;
  }
  return longest;
}

// The files have U+2581 at what begins a word, where BERT has ## at what goes on: tokens with a
// U+2581 of their own can't be told from others, and the fixture's are left out.
TEST(GgufTokenizerIdentityTest, BertsVocabularyIsWordPiece) {
  const json fixture = ReadFixture("bert_uncased");
  Vocabulary vocabulary = VocabularyOf(fixture["tokenizer"]);
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    std::string& text = vocabulary.tokens[i];
    if (vocabulary.types[i] != 1) continue;
    if (text.find("\u2581") != std::string::npos) text = "left out " + std::to_string(i);
    text = text.starts_with("##") ? text.substr(2) : "\u2581" + text;
  }
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "bert");
  const auto id_of = [&](const std::string& text) {
    const auto found = std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), text);
    return static_cast<uint32_t>(found - vocabulary.tokens.begin());
  };
  builder.Uint32("tokenizer.ggml.unknown_token_id", id_of("[UNK]"));
  builder.Uint32("tokenizer.ggml.bos_token_id", id_of("[CLS]"));
  builder.Uint32("tokenizer.ggml.seperator_token_id", id_of("[SEP]"));

  const auto tokenizer = Make(builder, vocabulary);

  // 30 characters are a word's limit in the fixture; a GGUF file can't say so.
  json cases = json::array();
  for (const json& entry : fixture["cases"]) {
    const std::string text = entry[0];
    if (LongestWord(text) <= 30 && text.find("\u2581") == std::string::npos) cases.push_back(entry);
  }
  for (const json& entry : cases) {
    EXPECT_EQ(tokenizer->Encode(entry[0].get<std::string>()),
              (entry[2].is_null() ? entry[1] : entry[2]).get<std::vector<TokenId>>())
        << entry[0].dump();
  }
  EXPECT_GT(cases.size(), 40u);
  EXPECT_EQ(tokenizer->prefix()[0], static_cast<TokenId>(id_of("[CLS]")));
  EXPECT_EQ(tokenizer->suffix()[0], static_cast<TokenId>(id_of("[SEP]")));
}

}  // namespace
}  // namespace spillway
