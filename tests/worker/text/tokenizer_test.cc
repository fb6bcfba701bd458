#include "worker/text/tokenizer.h"

#include <fstream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/merge_rules.h"

namespace spillway {
namespace {

using TokenType = TokenizerSpec::TokenType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

nlohmann::json ReadTestdata(const std::string& name) {
  std::ifstream file(std::string(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/") + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

std::vector<MergeRule> Rules(const std::vector<std::string>& tokens,
                             const std::vector<std::string>& lines) {
  const auto rules =
      MergeRulesFromLines(tokens, std::vector<std::string_view>(lines.begin(), lines.end()));
  EXPECT_TRUE(rules.ok()) << rules.status();
  return *rules;
}

// SmolLM2's vocabulary cut after its first merges, and a user-defined <think>.
TokenizerSpec SmolSpec(const std::string& pre_tokenizer) {
  const nlohmann::json vocabulary = ReadTestdata("tokenizer_vocabulary.json");
  TokenizerSpec spec{.pre_tokenizer = pre_tokenizer, .tokens = vocabulary["base_tokens"]};
  const std::vector<std::string> merges = vocabulary["merges"];
  for (std::string merge : merges) {
    merge.erase(merge.find(' '), 1);
    spec.tokens.push_back(merge);
  }
  spec.merges = Rules(spec.tokens, merges);
  spec.types.resize(spec.tokens.size(), TokenType::kNormal);
  const std::vector<std::string> control = vocabulary["control_tokens"];
  for (size_t i = 0; i < control.size(); ++i) {
    EXPECT_EQ(spec.tokens[i], control[i]);
    spec.types[i] = TokenType::kControl;
  }
  spec.tokens.push_back("<think>");
  spec.types.push_back(TokenType::kUserDefined);
  spec.bos = 1;
  spec.eos = 2;
  spec.end_of_text = {2, 0};
  return spec;
}

std::unique_ptr<Tokenizer> Make(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::Create(std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

// All 256 bytes as tokens 0 to 255, then `merges`' results, then `specials`.
TokenizerSpec ByteSpec(std::vector<std::string> merges = {},
                       std::vector<std::pair<std::string, TokenType>> specials = {}) {
  TokenizerSpec spec{.pre_tokenizer = "gpt-2"};
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    const int code_point = printable ? byte : next++;
    std::string character;
    if (code_point < 128) {
      character = static_cast<char>(code_point);
    } else {
      character = {static_cast<char>(0xC0 | code_point >> 6),
                   static_cast<char>(0x80 | (code_point & 63))};
    }
    spec.tokens.push_back(character);
  }
  for (std::string merge : merges) {
    merge.erase(merge.find(' '), 1);
    spec.tokens.push_back(merge);
  }
  spec.types.resize(spec.tokens.size(), TokenType::kNormal);
  for (const auto& [text, type] : specials) {
    spec.tokens.push_back(text);
    spec.types.push_back(type);
  }
  spec.merges = Rules(spec.tokens, merges);
  return spec;
}

std::string Decode(const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
  std::string text;
  for (const TokenId token : tokens) text += tokenizer.TokenBytes(token);
  return text;
}

TEST(TokenizerTest, EncodesAsHuggingFaceTokenizersDoes) {
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers;
  int compared = 0;
  for (const nlohmann::json& entry : ReadTestdata("tokenizer_cases.json")) {
    const std::string pre = entry["pre"];
    std::unique_ptr<Tokenizer>& tokenizer = tokenizers[pre];
    if (tokenizer == nullptr) tokenizer = Make(SmolSpec(pre));
    const std::string text = entry["text"];
    std::vector<TextRange> trusted;
    if (entry["trusted"]) trusted.push_back({0, text.size()});

    EXPECT_EQ(tokenizer->Encode(text, trusted), entry["ids"].get<std::vector<TokenId>>())
        << pre << ": " << text;
    ++compared;
  }
  EXPECT_GT(compared, 300);
}

TEST(TokenizerTest, ControlTokensOnlyInsideOneTrustedRange) {
  const auto tokenizer = Make(ByteSpec({}, {{"<s>", TokenType::kControl}}));
  const std::string text = "<s><s>";
  const auto count = [&](std::vector<TextRange> trusted) {
    const std::vector<TokenId> tokens = tokenizer->Encode(text, trusted);
    EXPECT_EQ(Decode(*tokenizer, tokens), text);
    return std::count(tokens.begin(), tokens.end(), 256);
  };

  EXPECT_EQ(count({}), 0);
  EXPECT_EQ(count({{0, 6}}), 2);
  EXPECT_EQ(count({{0, 3}}), 1);
  EXPECT_EQ(count({{0, 3}, {3, 6}}), 2);
  EXPECT_EQ(count({{0, 2}, {2, 6}}), 1);  // The first lies in two ranges.
  EXPECT_EQ(count({{1, 5}}), 0);
  EXPECT_EQ(count({{2, 2}, {3, 6}}), 1);
}

TEST(TokenizerTest, UserDefinedTokensEverywhereAndTheLongestWins) {
  const auto tokenizer = Make(ByteSpec({}, {{"<t>", TokenType::kUserDefined},
                                            {"<t>!", TokenType::kUserDefined},
                                            {"<t>!?", TokenType::kControl}}));
  const std::vector<TextRange> all = {{0, 5}};

  EXPECT_THAT(tokenizer->Encode("<t>"), ElementsAre(256));
  EXPECT_THAT(tokenizer->Encode("<t>!?"), ElementsAre(257, '?'));
  EXPECT_THAT(tokenizer->Encode("<t>!?", all), ElementsAre(258));
}

TEST(TokenizerTest, UnusedTokensAreNeverRecognised) {
  const auto tokenizer = Make(ByteSpec({}, {{"<pad>", TokenType::kUnused}}));
  const std::vector<TextRange> all = {{0, 5}};

  EXPECT_EQ(tokenizer->Encode("<pad>", all).size(), 5);
}

TEST(TokenizerTest, EveryByteStringRoundTrips) {
  const auto tokenizer = Make(ByteSpec({"a b", "ab c", "Ġ Ġ", "à ¤"}));
  std::mt19937 random(7);
  constexpr std::string_view kPieces[] = {"ab",       "c",    "  ",   "\n",
                                          "\xFF",     "\xC3", "\xA4", "\xE0\xA4",
                                          "\xC3\xA4", "1234", "'s",   "\xF0\x9F"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    while (random() % 16 != 0) text += kPieces[random() % std::size(kPieces)];

    EXPECT_EQ(Decode(*tokenizer, tokenizer->Encode(text)), text);
  }
}

TEST(TokenizerTest, BadBytesAreApartFromTheTextAroundThem) {
  const auto tokenizer = Make(ByteSpec({"a Ã"}));

  // 0xC3 before a continuation byte is a letter's first half, else it is a bad byte.
  EXPECT_THAT(tokenizer->Encode("a\xC3\xA4"), ElementsAre(256, 0xA4));
  EXPECT_THAT(tokenizer->Encode("a\xC3"), ElementsAre('a', 0xC3));
}

TEST(TokenizerTest, BytesWithoutATokenAreLeftOut) {
  TokenizerSpec spec = ByteSpec({"a b"});
  spec.tokens['x'] = "[gone]";
  const auto tokenizer = Make(spec);

  EXPECT_THAT(tokenizer->Encode("axb"), ElementsAre(256));
}

TEST(TokenizerTest, WholePiecesGoFirstForLlama3Only) {
  TokenizerSpec spec = ByteSpec();
  spec.tokens.push_back("abc");  // No merges lead here.
  spec.types.push_back(TokenType::kNormal);
  EXPECT_THAT(Make(spec)->Encode("abc"), ElementsAre('a', 'b', 'c'));

  spec.pre_tokenizer = "llama-bpe";
  EXPECT_THAT(Make(spec)->Encode("abc"), ElementsAre(256));
}

TEST(TokenizerTest, AMegabyteWithoutASpaceIsNoTrouble) {
  const auto tokenizer = Make(SmolSpec("smollm"));
  std::string text;
  std::mt19937 random(1);
  while (text.size() < 1'000'000) text += static_cast<char>('a' + random() % 26);

  EXPECT_EQ(Decode(*tokenizer, tokenizer->Encode(text)), text);
  const std::string spaces(1'000'000, ' ');
  EXPECT_EQ(Decode(*tokenizer, tokenizer->Encode(spaces)), spaces);
}

TEST(TokenizerTest, TellsWhatTheVocabularySays) {
  const auto tokenizer = Make(SmolSpec("smollm"));

  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_FALSE(tokenizer->add_bos());
  EXPECT_TRUE(tokenizer->IsControl(1));
  EXPECT_FALSE(tokenizer->IsControl(300));
  EXPECT_FALSE(tokenizer->IsControl(tokenizer->vocabulary_size() - 1));  // <think>
  EXPECT_TRUE(tokenizer->IsEndOfText(0));
  EXPECT_FALSE(tokenizer->IsEndOfText(1));
  EXPECT_THAT(tokenizer->end_of_text(), ElementsAre(2, 0));
  EXPECT_EQ(tokenizer->TokenBytes(1), "<|im_start|>");
}

TEST(TokenizerTest, RefusesBrokenVocabularies) {
  const auto error = [](auto change) {
    TokenizerSpec spec = ByteSpec({"a b"}, {{"<s>", TokenType::kControl}});
    change(spec);
    const auto tokenizer = Tokenizer::Create(spec);
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(tokenizer.status().message());
  };

  EXPECT_THAT(error([](TokenizerSpec& s) { s = {.pre_tokenizer = "gpt-2"}; }),
              HasSubstr("0 tokens"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.types.pop_back(); }), HasSubstr("257 token types"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.bos = 258; }), HasSubstr("BOS id is 258"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.eos = -2; }), HasSubstr("EOS id is -2"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.end_of_text = {258}; }), HasSubstr("end-of-text"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.end_of_text = {-1}; }), HasSubstr("end-of-text"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.merges[0].left = -1; }), HasSubstr("merge's id"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.merges[0].merged = 258; }), HasSubstr("is 258"));
  EXPECT_THAT(error([](TokenizerSpec& s) { s.tokens[257].resize(2000, 'x'); }),
              HasSubstr("2000 bytes"));
}

TEST(TokenizerTest, NamesThePreTokenizersItKnows) {
  TokenizerSpec spec = ByteSpec();
  spec.pre_tokenizer = "klingon";

  const auto tokenizer = Tokenizer::Create(spec);

  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(tokenizer.status().message()),
              AllOf(HasSubstr("\"klingon\""), HasSubstr("smollm"), HasSubstr("qwen2")));
}

}  // namespace
}  // namespace spillway
