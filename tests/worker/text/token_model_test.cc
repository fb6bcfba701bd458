// Each model against its definition, word for word, on small random vocabularies and texts.
#include "worker/text/token_model.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using Kind = TokenizerSpec::Kind;
using TokenType = TokenizerSpec::TokenType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<TokenId> Encode(const TokenizerSpec& spec, std::string_view text) {
  const auto model = MakeTokenModel(spec);
  EXPECT_TRUE(model.ok()) << model.status();
  std::vector<TokenId> ids;
  (*model)->Encode(text, ids);
  return ids;
}

// Token 0 is unknown; the others are texts of a, b and c, each letter among them.
TokenizerSpec RandomSpec(Kind kind, std::mt19937& random) {
  TokenizerSpec spec{.kind = kind, .tokens = {"<unk>", "a", "b"}, .unknown = 0};
  for (int i = 0; i < 12; ++i) {
    std::string text;
    for (size_t size = 2 + random() % 3; text.size() < size;) text += "abc"[random() % 3];
    if (kind == Kind::kWordPiece && random() % 2 == 0)
      text = "##" + text.substr(random() % text.size());
    if (std::find(spec.tokens.begin(), spec.tokens.end(), text) == spec.tokens.end()) {
      spec.tokens.push_back(text);
    }
  }
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  spec.types[0] = TokenType::kUnknown;
  // Powers of two: no two sums are equal.
  for (size_t i = 0; i < spec.tokens.size(); ++i)
    spec.scores.push_back(-static_cast<double>(1u << i));
  std::shuffle(spec.scores.begin(), spec.scores.end(), random);
  return spec;
}

std::string RandomText(std::mt19937& random) {
  std::string text;
  for (size_t size = 1 + random() % 9; text.size() < size;) text += "aabbc"[random() % 5];
  return text;
}

TokenId IdOf(const TokenizerSpec& spec, const std::string& text) {
  const auto found = std::find(spec.tokens.begin() + 1, spec.tokens.end(), text);
  return found == spec.tokens.end() ? -1 : static_cast<TokenId>(found - spec.tokens.begin());
}

// The best sum over all ways to cut `text`; lowest when there is none.
double BestSum(const TokenizerSpec& spec, const std::string& text) {
  if (text.empty()) return 0;
  double best = std::numeric_limits<double>::lowest();
  for (size_t size = 1; size <= text.size(); ++size) {
    const TokenId id = IdOf(spec, text.substr(0, size));
    if (id > 0) best = std::max(best, spec.scores[id] + BestSum(spec, text.substr(size)));
  }
  return best;
}

TEST(TokenModelTest, UnigramsSumIsTheBestOfAll) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    TokenizerSpec spec = RandomSpec(Kind::kUnigram, random);
    spec.tokens.emplace_back("c");
    spec.types.push_back(TokenType::kNormal);
    spec.scores.push_back(-100'000);
    const std::string text = RandomText(random);

    std::string written;
    double sum = 0;
    for (const TokenId id : Encode(spec, text)) {
      written += spec.tokens[id];
      sum += spec.scores[id];
    }

    EXPECT_EQ(written, text) << seed;
    EXPECT_DOUBLE_EQ(sum, BestSum(spec, text)) << seed << ": " << text;
  }
}

TEST(TokenModelTest, UnigramsUnknownCharactersAreOneTokenAndDear) {
  TokenizerSpec spec{.kind = Kind::kUnigram, .tokens = {"?", "a", "ab"}, .scores = {0, -1, -10.5}};
  spec.types = {TokenType::kUnknown, TokenType::kNormal, TokenType::kNormal};
  spec.unknown = 0;

  EXPECT_THAT(Encode(spec,
                     "\u4e2d\u6587"
                     "a"),
              ElementsAre(0, 1));
  EXPECT_THAT(Encode(spec, "ab"), ElementsAre(2)) << "an unknown b costs 20.5";
}

std::vector<TokenId> LongestFirst(const TokenizerSpec& spec, const std::string& text) {
  std::vector<TokenId> ids;
  for (size_t at = 0; at < text.size();) {
    TokenId id = -1;
    size_t size = text.size() - at;
    for (; size > 0 && id < 0; --size)
      id = IdOf(spec, (at > 0 ? "##" : "") + text.substr(at, size));
    if (id < 0) return {0};
    ids.push_back(id);
    at += size + 1;
  }
  return ids;
}

TEST(TokenModelTest, WordPieceTakesTheLongestFirst) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    TokenizerSpec spec = RandomSpec(Kind::kWordPiece, random);
    spec.continuing_prefix = "##";
    const std::string text = RandomText(random);

    EXPECT_EQ(Encode(spec, text), LongestFirst(spec, text)) << seed << ": " << text;
  }
}

TEST(TokenModelTest, WordPiecesWordsHaveALimit) {
  TokenizerSpec spec{.kind = Kind::kWordPiece, .tokens = {"?", "\u00e9", "##\u00e9"}, .unknown = 0};
  spec.types.assign(3, TokenType::kNormal);
  spec.continuing_prefix = "##";
  spec.word_characters_max = 2;

  EXPECT_THAT(Encode(spec, "\u00e9\u00e9"), ElementsAre(1, 2));
  EXPECT_THAT(Encode(spec, "\u00e9\u00e9\u00e9"), ElementsAre(0));
}

// Of all neighbours that make a token together, those with the best score, leftmost.
std::vector<TokenId> BestPairFirst(const TokenizerSpec& spec, const std::string& text) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  while (true) {
    std::optional<size_t> best;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const TokenId id = IdOf(spec, symbols[i] + symbols[i + 1]);
      if (id < 0) continue;
      if (!best || spec.scores[id] > spec.scores[IdOf(spec, symbols[*best] + symbols[*best + 1])]) {
        best = i;
      }
    }
    if (!best) break;
    symbols[*best] += symbols[*best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(*best) + 1);
  }
  std::vector<TokenId> ids;
  for (const std::string& symbol : symbols) ids.push_back(std::max<TokenId>(IdOf(spec, symbol), 0));
  return ids;
}

TEST(TokenModelTest, SentencePieceMergesTheBestPairFirst) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const TokenizerSpec spec = RandomSpec(Kind::kSentencePieceBpe, random);
    const std::string text = RandomText(random);

    EXPECT_EQ(Encode(spec, text), BestPairFirst(spec, text)) << seed << ": " << text;
  }
}

TEST(TokenModelTest, UnknownCharactersAreTheirBytesOrFused) {
  TokenizerSpec spec{.kind = Kind::kBpe, .tokens = {"?", "a", "<0xC3>", "<0xA9>"}, .unknown = 0};
  spec.types = {TokenType::kUnknown, TokenType::kNormal, TokenType::kByte, TokenType::kByte};
  EXPECT_THAT(Encode(spec, "a\u00e9\u00e9"), ElementsAre(1, 0, 0));

  spec.fuse_unknown = true;
  EXPECT_THAT(Encode(spec, "a\u00e9\u00e9"), ElementsAre(1, 0));

  spec.byte_fallback = true;
  EXPECT_THAT(Encode(spec, "a\u00e9"), ElementsAre(1, 2, 3));
  EXPECT_THAT(Encode(spec, "\u4e2d"), ElementsAre(0)) << "a byte has no token";

  spec.unknown = -1;
  EXPECT_THAT(Encode(spec,
                     "\u4e2d"
                     "a"),
              ElementsAre(1));
}

TEST(TokenModelTest, PrefixesAndSuffixesAreOfWords) {
  TokenizerSpec spec{.kind = Kind::kBpe, .tokens = {"a", "##a", "##a</w>", "a</w>", "aa</w>"}};
  spec.types.assign(5, TokenType::kNormal);
  spec.continuing_prefix = "##";
  spec.word_suffix = "</w>";
  EXPECT_THAT(Encode(spec, "a"), ElementsAre(3));
  EXPECT_THAT(Encode(spec, "aaa"), ElementsAre(0, 1, 2));

  spec.merges = {{0, 2, 4}};
  EXPECT_THAT(Encode(spec, "aa"), ElementsAre(4));
}

// Whatever the vocabulary holds, text becomes no control token.
TEST(TokenModelTest, NoModelMakesAControlTokenOfText) {
  for (const Kind kind : {Kind::kByteLevelBpe, Kind::kBpe, Kind::kSentencePieceBpe, Kind::kUnigram,
                          Kind::kWordPiece}) {
    for (const bool ignore_merges : {false, true}) {
      TokenizerSpec spec{.kind = kind, .tokens = {"<", "s", "##s", "<s"}};
      spec.types = {TokenType::kNormal, TokenType::kNormal, TokenType::kNormal,
                    TokenType::kControl};
      spec.scores = {-9, -9, -9, 0};
      spec.merges = {{0, 1, 3}};
      spec.ignore_merges = ignore_merges;
      spec.continuing_prefix = kind == Kind::kWordPiece ? "##" : "";

      EXPECT_THAT(Encode(spec, "<s"), ElementsAre(0, kind == Kind::kWordPiece ? 2 : 1))
          << static_cast<int>(kind);
    }
  }
}

TEST(TokenModelTest, TokensThatAreSearchedForHaveALimit) {
  for (const Kind kind : {Kind::kSentencePieceBpe, Kind::kUnigram, Kind::kWordPiece}) {
    TokenizerSpec spec{.kind = kind, .tokens = {std::string(1025, 'a')}};
    spec.types = {TokenType::kNormal};
    spec.scores = {0};
    EXPECT_THAT(std::string(MakeTokenModel(spec).status().message()),
                HasSubstr("token 0 has 1025 bytes, the limit is 1024"));
  }
}

}  // namespace
}  // namespace spillway
