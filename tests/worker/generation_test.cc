// What ends a sequence, and what text it has by then.

#include "worker/generation.h"

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"

namespace spillway {
namespace {

class GenerationTest : public ::testing::Test {
 protected:
  EngineRequest Request() const {
    EngineRequest request;
    request.prompt = {'?'};
    request.new_tokens_max = 100;
    return request;
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  std::string content_;
};

TEST_F(GenerationTest, EndOfTextStopsAndGivesNoText) {
  Generation generation(Request(), *tokenizer_);
  EXPECT_EQ(generation.OnToken('a', content_), std::nullopt);
  EXPECT_EQ(generation.OnToken(kByteVocabularyEnd, content_), EndReason::kStop);
  EXPECT_EQ(content_, "a");
  EXPECT_EQ(generation.output_tokens(), 2);
}

TEST_F(GenerationTest, EndOfTextIsIgnoredWhenAskedTo) {
  EngineRequest request = Request();
  request.ignore_end_of_text = true;
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken(kByteVocabularyEnd, content_), std::nullopt);
}

TEST_F(GenerationTest, TheLastTokenAllowedEndsByLengthAndFlushesHeldBackText) {
  EngineRequest request = Request();
  request.new_tokens_max = 2;
  request.stop_strings = {"bc"};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken('a', content_), std::nullopt);
  EXPECT_EQ(generation.OnToken('b', content_), EndReason::kLength);
  EXPECT_EQ(content_, "ab");
}

TEST_F(GenerationTest, AStopStringEndsItAndIsNotReturned) {
  EngineRequest request = Request();
  request.stop_strings = {"bc"};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken('a', content_), std::nullopt);
  EXPECT_EQ(generation.OnToken('b', content_), std::nullopt);
  EXPECT_EQ(content_, "a");
  EXPECT_EQ(generation.OnToken('c', content_), EndReason::kStop);
  EXPECT_EQ(content_, "a");
  EXPECT_EQ(generation.stop_string(), "bc");
}

TEST_F(GenerationTest, KnowsWhereTheNextTokensTextBegins) {
  EngineRequest request = Request();
  request.stop_strings = {"bc!"};
  Generation generation(std::move(request), *tokenizer_);
  const auto begin_after = [&](TokenId token) {
    EXPECT_EQ(generation.OnToken(token, content_), std::nullopt);
    return generation.content_begin();
  };
  EXPECT_EQ(generation.content_begin(), 0);
  EXPECT_EQ(begin_after('a'), 1);
  EXPECT_EQ(begin_after('b'), 2);   // held back, but text
  EXPECT_EQ(begin_after(0xE4), 2);  // the next byte belongs to the character that began at 2
  EXPECT_EQ(begin_after(0xBD), 2);
  EXPECT_EQ(begin_after(0xA0), 5);
  EXPECT_EQ(begin_after(0xFF), 8);  // U+FFFD
  EXPECT_EQ(content_, "ab\xE4\xBD\xA0\xEF\xBF\xBD");
}

TEST_F(GenerationTest, ReplayedTextCountsInWhatFollows) {
  EngineRequest request = Request();
  request.resumed = {'a', 'b', 'c'};
  request.resumed_content_bytes = 1;
  Generation generation(std::move(request), *tokenizer_);
  generation.Replay();
  EXPECT_EQ(generation.content_begin(), 3);
}

TEST_F(GenerationTest, AStopTokenEndsIt) {
  EngineRequest request = Request();
  request.stop_tokens = {'x'};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken('x', content_), EndReason::kStop);
  EXPECT_EQ(content_, "");
}

TEST_F(GenerationTest, EndOfTextIsBannedBeforeTheMinimum) {
  EngineRequest request = Request();
  request.new_tokens_min = 2;
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.BannedAt(1).size(), 1u);
  EXPECT_EQ(generation.BannedAt(2).size(), 0u);
}

TEST_F(GenerationTest, StopTokensAreBannedBeforeTheMinimumAndTheIgnoredEndIsNot) {
  EngineRequest request = Request();
  request.new_tokens_min = 2;
  request.stop_tokens = {'x'};
  Generation both(request, *tokenizer_);
  EXPECT_EQ(std::vector<TokenId>(both.BannedAt(0).begin(), both.BannedAt(0).end()),
            (std::vector<TokenId>{'x', kByteVocabularyEnd}));
  request.ignore_end_of_text = true;
  Generation stop_only(request, *tokenizer_);
  EXPECT_EQ(std::vector<TokenId>(stop_only.BannedAt(0).begin(), stop_only.BannedAt(0).end()),
            std::vector<TokenId>{'x'});
}

TEST_F(GenerationTest, AReplayGivesOnlyWhatTheClientLacks) {
  EngineRequest request = Request();
  request.stop_strings = {"cd"};
  request.resumed = {'a', 'b', 'c'};  // "c" was held back when the first run was lost.
  request.resumed_content_bytes = 1;
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.Replay(), std::nullopt);
  EXPECT_EQ(generation.content_at_start, "b");
  EXPECT_EQ(generation.OnToken('d', content_), EndReason::kStop);
  EXPECT_EQ(content_, "");
  EXPECT_EQ(generation.output_tokens(), 4);
}

TEST_F(GenerationTest, AReplayMayTurnOutToBeTheWholeAnswer) {
  EngineRequest request = Request();
  request.resumed = {'a', kByteVocabularyEnd};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.Replay(), EndReason::kStop);
  EXPECT_EQ(generation.content_at_start, "a");
}

TEST_F(GenerationTest, TheEchoComesOnceAndBeforeTheOutput) {
  EngineRequest request = Request();
  request.prompt = {'x', 'y', 'z'};
  request.echo = true;
  Generation generation(std::move(request), *tokenizer_);
  generation.TakeEcho(1, content_);
  EXPECT_EQ(content_, "x");
  generation.TakeEcho(3, content_);
  generation.TakeEcho(2, content_);
  EXPECT_EQ(content_, "xyz");
  EXPECT_EQ(generation.content_begin(), 3);
  generation.OnToken('a', content_);
  EXPECT_EQ(content_, "xyza");
}

TEST_F(GenerationTest, AReplayLeavesOutTheEchoThatTheClientHas) {
  for (int64_t told = 0; told <= 5; ++told) {
    EngineRequest request = Request();
    request.prompt = {'x', 'y', 'z'};
    request.echo = true;
    request.resumed = {'a', 'b'};
    request.resumed_content_bytes = told;
    Generation generation(std::move(request), *tokenizer_);
    generation.Replay();
    EXPECT_EQ(generation.content_at_start, std::string("xyzab").substr(static_cast<size_t>(told)));
    EXPECT_EQ(generation.content_begin(), 5);
  }
}

TEST_F(GenerationTest, EachTokenOfThePromptIsScoredOnceButTheFirst) {
  EngineRequest request = Request();
  request.prompt = {'a', 'b', 'c', 'd', 'e'};
  request.prompt_top_logprobs = 0;
  Generation generation(std::move(request), *tokenizer_);
  const auto take = [&](int32_t begin, int32_t count) {
    const Generation::ScoreRange range = generation.TakeScores(begin, count);
    return std::pair(range.begin, range.end);
  };
  const std::pair<int32_t, int32_t> none = {0, 0};
  EXPECT_TRUE(generation.scores_prompt());
  EXPECT_EQ(take(0, 2), std::pair(1, 3));
  EXPECT_EQ(take(0, 2), none);             // recomputed after a preemption
  EXPECT_EQ(take(1, 3), std::pair(3, 5));  // some of it again
  EXPECT_FALSE(generation.scores_prompt());
  EXPECT_EQ(take(4, 1), none);
}

TEST_F(GenerationTest, WhatTheClientHasIsNotScoredAgain) {
  EngineRequest request = Request();
  request.prompt = {'a', 'b', 'c', 'd'};
  request.prompt_top_logprobs = 0;
  request.resumed_logprobs = 2;
  Generation some(request, *tokenizer_);
  EXPECT_EQ(some.TakeScores(0, 4).begin, 2);
  request.resumed_logprobs = 99;
  EXPECT_FALSE(Generation(request, *tokenizer_).scores_prompt());
  request.resumed_logprobs = 0;
  request.prompt_top_logprobs = -1;
  EXPECT_FALSE(Generation(request, *tokenizer_).scores_prompt());
}

}  // namespace
}  // namespace spillway
