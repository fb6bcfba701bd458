#include "worker/text/text_stream.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

// Token i < 256 is the byte i, token 256 is control; any string is a further token.
class Vocabulary {
 public:
  Vocabulary() {
    spec_.pre_tokenizer = "gpt-2";
    // Texts outside the byte alphabet stand for themselves; that is all that these tests need.
    for (int byte = 0; byte < 256; ++byte) Add(std::string(1, static_cast<char>(byte)));
    Add("<control>", TokenizerSpec::TokenType::kControl);
  }

  TokenId Add(const std::string& bytes, TokenizerSpec::TokenType type = kRaw) {
    spec_.tokens.push_back(bytes);
    spec_.types.push_back(type);
    return static_cast<TokenId>(spec_.tokens.size()) - 1;
  }

  std::unique_ptr<Tokenizer> Make() const { return *Tokenizer::Create(spec_); }

 private:
  static constexpr auto kRaw = TokenizerSpec::TokenType::kUserDefined;
  TokenizerSpec spec_;
};

struct Result {
  std::vector<std::string> deltas;  // of the content
  std::string text;
  std::string reasoning;
  std::string matched;
  int32_t tokens = 0;  // that were taken
  int32_t reasoning_tokens = 0;
};

Result Stream(const Tokenizer& tokenizer, std::vector<std::string> stops,
              const std::vector<TokenId>& tokens, OutputParser parser = OutputParser()) {
  TextStream stream(tokenizer, std::move(stops), std::move(parser));
  Result result;
  bool stopped = false;
  std::optional<int32_t> told_with_content;
  const auto take = [&](const OutputText& out) {
    result.deltas.push_back(out.content);
    result.text += out.content;
    result.reasoning += out.reasoning;
  };
  for (size_t i = 0; i < tokens.size() && !stopped; ++i) {
    OutputText out;
    stopped = stream.Append(tokens[i], out);
    take(out);
    ++result.tokens;
    EXPECT_GE(stream.reasoning_tokens(), result.reasoning_tokens);
    result.reasoning_tokens = stream.reasoning_tokens();
    // What is told with the first content is final.
    if (!result.text.empty())
      told_with_content = told_with_content.value_or(result.reasoning_tokens);
  }
  if (!stopped) {
    OutputText out;
    stream.Flush(out);
    take(out);
  }
  result.matched = stream.matched_stop_string();
  result.reasoning_tokens = stream.reasoning_tokens();
  EXPECT_EQ(told_with_content.value_or(result.reasoning_tokens), result.reasoning_tokens);
  return result;
}

Result StreamBytes(std::vector<std::string> stops, std::string_view bytes) {
  const std::vector<TokenId> tokens = [&] {
    std::vector<TokenId> ids;
    for (const char c : bytes) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }();
  return Stream(*Vocabulary().Make(), std::move(stops), tokens);
}

TEST(TextStreamTest, GivesWholeCharacters) {
  EXPECT_THAT(StreamBytes({}, "a\u00e9\U0001F600").deltas,
              ElementsAre("a", "", "\u00e9", "", "", "", "\U0001F600", ""));
}

TEST(TextStreamTest, BytesThatNeverBecomeACharacterAreReplacedAtOnce) {
  EXPECT_THAT(StreamBytes({},
                          "\xFF"
                          "a\xE4\xB8"
                          "b\xE4")
                  .deltas,
              ElementsAre("\uFFFD", "a", "", "",
                          "\uFFFD"
                          "b",
                          "", "\uFFFD"));
}

TEST(TextStreamTest, ControlTokensGiveNoText) {
  EXPECT_EQ(Stream(*Vocabulary().Make(), {}, {'a', 0xC3, 256, 0xA9, 256}).text, "a\u00e9");
}

TEST(TextStreamTest, HoldsBackOnlyWhatMayBecomeAStopString) {
  EXPECT_THAT(StreamBytes({"END"}, "aENxEEND-").deltas,
              ElementsAre("a", "", "", "ENx", "", "E", "", ""));
  EXPECT_EQ(StreamBytes({"END"}, "aENxEEND-").text, "aENxE");
}

TEST(TextStreamTest, AStopStringMayBeginInsideAHeldBackPart) {
  const Result result = StreamBytes({"aab"}, "aaab");

  EXPECT_THAT(result.deltas, ElementsAre("", "", "a", ""));
  EXPECT_EQ(result.matched, "aab");
}

TEST(TextStreamTest, TheFirstCompletedStopWinsThenTheLongest) {
  EXPECT_EQ(StreamBytes({"abcd", "bc"}, "xabcd").text, "xa");
  EXPECT_EQ(StreamBytes({"c", "abc", "bc"}, "xabc").text, "x");
  EXPECT_EQ(StreamBytes({"c", "abc", "bc"}, "xabc").matched, "abc");
}

TEST(TextStreamTest, WhatAStopStringHeldBackComesWithTheEnd) {
  EXPECT_THAT(StreamBytes({"stop"}, "sto").deltas, ElementsAre("", "", "", "sto"));
}

TEST(TextStreamTest, AStopStringInsideAToken) {
  Vocabulary vocabulary;
  const TokenId token = vocabulary.Add("one\n\ntwo");

  const Result result = Stream(*vocabulary.Make(), {"\n\n"}, {token, 'x'});

  EXPECT_THAT(result.deltas, ElementsAre("one"));
  EXPECT_EQ(result.matched, "\n\n");
}

TEST(TextStreamTest, TheReplacementAtTheEndMayCompleteAStopString) {
  const std::unique_ptr<Tokenizer> tokenizer = Vocabulary().Make();
  TextStream stream(*tokenizer, {"a\uFFFD"});
  OutputText out;
  ASSERT_FALSE(stream.Append('a', out));
  ASSERT_FALSE(stream.Append(0xE4, out));

  EXPECT_TRUE(stream.Flush(out));
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(stream.matched_stop_string(), "a\uFFFD");
}

// The whole text at once: decode as Python does (the standard's table of well-formed sequences,
// spelled out), then cut at the stop string that ends first.
std::string DecodeWhole(const std::string& bytes) {
  const auto byte = [&](size_t i) {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  const auto in = [&](size_t i, int low, int high) { return byte(i) >= low && byte(i) <= high; };
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    size_t good = 1;  // bytes of the longest beginning of a character
    size_t needed = 1;
    if (byte(i) >= 0x80) {
      needed = in(i, 0xC2, 0xDF) ? 2 : in(i, 0xE0, 0xEF) ? 3 : in(i, 0xF0, 0xF4) ? 4 : 0;
      const int low = byte(i) == 0xE0 ? 0xA0 : byte(i) == 0xF0 ? 0x90 : 0x80;
      const int high = byte(i) == 0xED ? 0x9F : byte(i) == 0xF4 ? 0x8F : 0xBF;
      if (needed > 1 && in(i + 1, low, high)) {
        for (good = 2; good < needed && in(i + good, 0x80, 0xBF);) ++good;
      }
    }
    out += good == needed ? bytes.substr(i, good) : "\uFFFD";
    i += good;
  }
  return out;
}

std::string UpToStop(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (std::string_view(text).substr(0, end).ends_with(stop)) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return text.substr(0, end - longest);
  }
  return text;
}

// All ways to cut `bytes` into parts of one to three.
void ForEachCut(const std::string& bytes, size_t begin, std::vector<std::string>& parts,
                const std::function<void()>& on_cut) {
  if (begin == bytes.size()) return on_cut();
  for (size_t size = 1; size <= 3 && begin + size <= bytes.size(); ++size) {
    parts.push_back(bytes.substr(begin, size));
    ForEachCut(bytes, begin + size, parts, on_cut);
    parts.pop_back();
  }
}

// All ways to cut `bytes` into tokens of one to three bytes.
void ForEachTokens(
    const std::string& bytes,
    const std::function<void(const Tokenizer&, const std::vector<TokenId>&)>& on_tokens) {
  Vocabulary vocabulary;
  std::map<std::string, TokenId> ids;
  for (size_t begin = 0; begin < bytes.size(); ++begin) {
    for (size_t size = 1; size <= 3; ++size) {
      const std::string part = bytes.substr(begin, size);
      if (!ids.contains(part)) ids[part] = vocabulary.Add(part);
    }
  }
  const std::unique_ptr<Tokenizer> tokenizer = vocabulary.Make();
  std::vector<std::string> parts;
  ForEachCut(bytes, 0, parts, [&] {
    std::vector<TokenId> tokens;
    for (const std::string& part : parts) tokens.push_back(ids[part]);
    on_tokens(*tokenizer, tokens);
  });
}

TEST(TextStreamTest, EveryWayOfCuttingGivesTheSameText) {
  const std::vector<std::string> stop_choices = {"ab",
                                                 "b\u00e9",
                                                 "aab",
                                                 "\U0001F600",
                                                 "\uFFFD"
                                                 "a",
                                                 "\n\n",
                                                 "a",
                                                 "\u00e9\u00e9"};
  const std::vector<std::string> pieces = {"a",    "b",        "\u00e9", "\U0001F600", "\n",
                                           "\xC3", "\xF0\x9F", "\x80",   "\xFF",       "aab"};
  int cuts = 0;
  int stopped = 0;
  for (unsigned seed = 0; seed < 250; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string bytes;
    while (bytes.size() < 9) bytes += pieces[random() % pieces.size()];
    std::vector<std::string> stops;
    for (unsigned i = random() % 4; i > 0; --i) {
      stops.push_back(stop_choices[random() % stop_choices.size()]);
    }
    const std::string expected = UpToStop(DecodeWhole(bytes), stops);
    ForEachTokens(bytes, [&](const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
      const Result result = Stream(tokenizer, stops, tokens);
      ASSERT_EQ(result.text, expected);
      for (const std::string& delta : result.deltas) ASSERT_EQ(DecodeWhole(delta), delta);
      ++cuts;
      stopped += !result.matched.empty();
    });
  }
  EXPECT_GT(cuts, 40'000);
  EXPECT_GT(stopped, cuts / 10);
  EXPECT_LT(stopped, cuts * 9 / 10);
}

// --- with reasoning ---

constexpr ReasoningFormat kThink = {
    .name = "test", .opens = {"<t>"}, .closes = {"</t>"}, .evidence = {"<t>"}};

Result StreamThink(std::vector<std::string> stops, std::string_view bytes, bool open = false) {
  std::vector<TokenId> tokens;
  for (const char c : bytes) tokens.push_back(static_cast<unsigned char>(c));
  return Stream(*Vocabulary().Make(), std::move(stops), tokens,
                OutputParser({.format = &kThink, .open = open}));
}

TEST(TextStreamReasoningTest, StopStringsAreLookedForInTheContentAlone) {
  const Result result = StreamThink({"\n\n", "x"}, "<t>a\n\nx</t>\n\nb\n\nc");

  EXPECT_EQ(result.reasoning, "a\n\nx");
  EXPECT_EQ(result.text, "b");
  EXPECT_EQ(result.matched, "\n\n");
}

TEST(TextStreamReasoningTest, TheCloseMarkerAsAStopStringEndsTheSequenceThere) {
  for (const std::string stop : {"</t>", "</t>\n\n", "\n</t>"}) {
    const Result result = StreamThink({"b", stop}, "ab </t>\n\nc", /*open=*/true);

    EXPECT_EQ(result.reasoning, "ab");
    EXPECT_EQ(result.text, "");
    EXPECT_EQ(result.matched, stop);
  }
}

TEST(TextStreamReasoningTest, AnUnfinishedMarkerMayCompleteAStopString) {
  const Result result = StreamThink({"<"}, " <");

  EXPECT_EQ(result.text, " ");
  EXPECT_EQ(result.matched, "<");
}

TEST(TextStreamReasoningTest, CountsTheTokensBeforeTheContent) {
  EXPECT_EQ(StreamThink({}, "<t>a</t> b").reasoning_tokens, 9);
  EXPECT_EQ(StreamThink({}, "a</t>b", /*open=*/true).reasoning_tokens, 5);
  EXPECT_EQ(StreamThink({}, "<t>a").reasoning_tokens, 4);
  EXPECT_EQ(StreamThink({}, " b</t>").reasoning_tokens, 0);
  EXPECT_EQ(StreamThink({}, "<t").reasoning_tokens, 0);
  EXPECT_EQ(StreamBytes({}, "<t>a</t>b").reasoning_tokens, 0);
}

TEST(TextStreamReasoningTest, ATokenThatHoldsSomeContentIsNoneOfTheReasonings) {
  Vocabulary vocabulary;
  const TokenId both = vocabulary.Add("/t>b");
  const TokenId half = vocabulary.Add("/t>\xC3");
  const std::unique_ptr<Tokenizer> tokenizer = vocabulary.Make();
  const OutputParser open({.format = &kThink, .open = true});

  EXPECT_EQ(Stream(*tokenizer, {}, {'a', '<', both}, open).reasoning_tokens, 2);
  EXPECT_EQ(Stream(*tokenizer, {}, {'a', '<', half, 0xA9}, open).reasoning_tokens, 2);
}

TEST(TextStreamReasoningTest, TokensWithoutTextCountWhereTheyStand) {
  Vocabulary vocabulary;
  const TokenId open = vocabulary.Add("<t>", TokenizerSpec::TokenType::kControl);
  const TokenId close = vocabulary.Add("</t>", TokenizerSpec::TokenType::kControl);
  const std::unique_ptr<Tokenizer> tokenizer = vocabulary.Make();
  const OutputParser parser({.format = &kThink});

  EXPECT_EQ(Stream(*tokenizer, {}, {256, open, 'a', 256, close, 'b', 256}, parser).reasoning_tokens,
            5);
  EXPECT_EQ(Stream(*tokenizer, {}, {256, 'b', 256}, parser).reasoning_tokens, 0);

  TextStream ended(*tokenizer, {}, parser);
  OutputText out;
  ended.Append(open, out);
  ended.Skip();
  ended.Flush(out);
  EXPECT_EQ(ended.reasoning_tokens(), 2);
}

TEST(TextStreamReasoningTest, MarkersMayBeControlTokens) {
  Vocabulary vocabulary;
  const TokenId open = vocabulary.Add("<t>", TokenizerSpec::TokenType::kControl);
  const TokenId close = vocabulary.Add("</t>", TokenizerSpec::TokenType::kControl);

  const Result result = Stream(*vocabulary.Make(), {}, {256, open, 'a', 256, close, 'b', close},
                               OutputParser({.format = &kThink}));

  EXPECT_EQ(result.reasoning, "a");
  EXPECT_EQ(result.text, "b");
}

TEST(TextStreamReasoningTest, EveryWayOfCuttingGivesTheSameChannels) {
  const std::vector<std::string> stop_choices = {"a", "\u00e9", "\n", "<t", "</t>", "t>"};
  const std::vector<std::string> pieces = {"a", "\u00e9", "\n", "<t>", "</t>", "<", "/t>", "\xC3"};
  int split = 0;
  for (unsigned seed = 0; seed < 250; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string bytes = random() % 2 == 0 ? "<t>" : "";
    while (bytes.size() < 9) bytes += pieces[random() % pieces.size()];
    std::vector<std::string> stops;
    for (auto i = random() % 3; i > 0; --i) {
      stops.push_back(stop_choices[random() % stop_choices.size()]);
    }
    const bool open = random() % 2 == 0;
    OutputParser parser({.format = &kThink, .open = open});
    OutputText expected;
    parser.Append(DecodeWhole(bytes), expected);
    parser.Flush(expected);
    const bool ends_with_reasoning =
        parser.reasoning_closed() && std::find(stops.begin(), stops.end(), "</t>") != stops.end();
    // Where in `bytes` the content begins; 0: there is no reasoning before it.
    const std::string decoded = DecodeWhole(bytes);
    size_t content_begin = 0;
    const auto before = [&] { return DecodeWhole(bytes.substr(0, content_begin)); };
    while (before().size() < decoded.size() - expected.content.size() ||
           !decoded.starts_with(before())) {
      ++content_begin;
    }
    expected.content = ends_with_reasoning ? "" : UpToStop(expected.content, stops);
    ForEachTokens(bytes, [&](const Tokenizer& tokenizer, const std::vector<TokenId>& tokens) {
      const Result result =
          Stream(tokenizer, stops, tokens, OutputParser({.format = &kThink, .open = open}));
      ASSERT_EQ(result.reasoning, expected.reasoning);
      ASSERT_EQ(result.text, expected.content);
      int32_t before_content = 0;
      for (size_t end = 0; before_content < result.tokens; ++before_content) {
        end += tokenizer.TokenBytes(tokens[static_cast<size_t>(before_content)]).size();
        if (end > content_begin) break;
      }
      ASSERT_EQ(result.reasoning_tokens, before_content);
      split += !result.reasoning.empty() && !result.text.empty();
    });
  }
  EXPECT_GT(split, 1'000);
}

}  // namespace
}  // namespace spillway
