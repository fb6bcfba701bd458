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
  OutputText out_;
};

TEST_F(GenerationTest, EndOfTextStopsAndGivesNoText) {
  Generation generation(Request(), *tokenizer_);
  EXPECT_EQ(generation.OnToken('a', out_), std::nullopt);
  EXPECT_EQ(generation.OnToken(kByteVocabularyEnd, out_), EndReason::kStop);
  EXPECT_EQ(out_.content, "a");
  EXPECT_EQ(generation.output_tokens(), 2);
}

TEST_F(GenerationTest, EndOfTextIsIgnoredWhenAskedTo) {
  EngineRequest request = Request();
  request.ignore_end_of_text = true;
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken(kByteVocabularyEnd, out_), std::nullopt);
}

TEST_F(GenerationTest, TheLastTokenAllowedEndsByLengthAndFlushesHeldBackText) {
  EngineRequest request = Request();
  request.new_tokens_max = 2;
  request.stop_strings = {"bc"};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken('a', out_), std::nullopt);
  EXPECT_EQ(generation.OnToken('b', out_), EndReason::kLength);
  EXPECT_EQ(out_.content, "ab");
}

TEST_F(GenerationTest, AStopStringEndsItAndIsNotReturned) {
  EngineRequest request = Request();
  request.stop_strings = {"bc"};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.OnToken('a', out_), std::nullopt);
  EXPECT_EQ(generation.OnToken('b', out_), std::nullopt);
  EXPECT_EQ(out_.content, "a");
  EXPECT_EQ(generation.OnToken('c', out_), EndReason::kStop);
  EXPECT_EQ(out_.content, "a");
  EXPECT_EQ(generation.stop_string(), "bc");
}

TEST_F(GenerationTest, KnowsWhereTheNextTokensTextBegins) {
  EngineRequest request = Request();
  request.stop_strings = {"bc!"};
  Generation generation(std::move(request), *tokenizer_);
  const auto begin_after = [&](TokenId token) {
    EXPECT_EQ(generation.OnToken(token, out_), std::nullopt);
    return generation.content_begin();
  };
  EXPECT_EQ(generation.content_begin(), 0);
  EXPECT_EQ(begin_after('a'), 1);
  EXPECT_EQ(begin_after('b'), 2);   // held back, but text
  EXPECT_EQ(begin_after(0xE4), 2);  // the next byte belongs to the character that began at 2
  EXPECT_EQ(begin_after(0xBD), 2);
  EXPECT_EQ(begin_after(0xA0), 5);
  EXPECT_EQ(begin_after(0xFF), 8);  // U+FFFD
  EXPECT_EQ(out_.content, "ab\xE4\xBD\xA0\xEF\xBF\xBD");
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
  EXPECT_EQ(generation.OnToken('x', out_), EndReason::kStop);
  EXPECT_EQ(out_.content, "");
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
  EXPECT_EQ(generation.text_at_start.content, "b");
  EXPECT_EQ(generation.OnToken('d', out_), EndReason::kStop);
  EXPECT_EQ(out_.content, "");
  EXPECT_EQ(generation.output_tokens(), 4);
}

TEST_F(GenerationTest, AReplayMayTurnOutToBeTheWholeAnswer) {
  EngineRequest request = Request();
  request.resumed = {'a', kByteVocabularyEnd};
  Generation generation(std::move(request), *tokenizer_);
  EXPECT_EQ(generation.Replay(), EndReason::kStop);
  EXPECT_EQ(generation.text_at_start.content, "a");
}

TEST_F(GenerationTest, TheEchoComesOnceAndBeforeTheOutput) {
  EngineRequest request = Request();
  request.prompt = {'x', 'y', 'z'};
  request.echo = true;
  Generation generation(std::move(request), *tokenizer_);
  generation.TakeEcho(1, out_.content);
  EXPECT_EQ(out_.content, "x");
  generation.TakeEcho(3, out_.content);
  generation.TakeEcho(2, out_.content);
  EXPECT_EQ(out_.content, "xyz");
  EXPECT_EQ(generation.content_begin(), 3);
  generation.OnToken('a', out_);
  EXPECT_EQ(out_.content, "xyza");
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
    EXPECT_EQ(generation.text_at_start.content,
              std::string("xyzab").substr(static_cast<size_t>(told)));
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

// --- with reasoning ---

class ReasoningGenerationTest : public GenerationTest {
 protected:
  EngineRequest ThinkingRequest() const {
    EngineRequest request = Request();
    request.reasoning = {.format = FindReasoningFormat("</think>")};
    return request;
  }
};

TEST_F(ReasoningGenerationTest, SplitsAndCountsTheReasoning) {
  Generation generation(ThinkingRequest(), *tokenizer_);
  for (const char byte : std::string_view("<think>\nhm\n</think>\n\nyes")) {
    EXPECT_EQ(generation.OnToken(byte, out_), std::nullopt);
  }
  generation.OnToken(kByteVocabularyEnd, out_);
  EXPECT_EQ(out_.reasoning, "hm");
  EXPECT_EQ(out_.content, "yes");
  EXPECT_EQ(generation.reasoning_tokens(), 21);
  EXPECT_EQ(generation.output_tokens(), 25);
}

TEST_F(ReasoningGenerationTest, AnEndWithinTheReasoningCountsToIt) {
  Generation generation(ThinkingRequest(), *tokenizer_);
  for (const char byte : std::string_view("<think>hm")) generation.OnToken(byte, out_);
  EXPECT_EQ(generation.OnToken(kByteVocabularyEnd, out_), EndReason::kStop);
  EXPECT_EQ(out_.reasoning, "hm");
  EXPECT_EQ(generation.reasoning_tokens(), 10);
}

TEST_F(ReasoningGenerationTest, ContentBeginsBehindNoneOfTheReasoning) {
  Generation generation(ThinkingRequest(), *tokenizer_);
  const auto begin_after = [&](std::string_view bytes) {
    for (const char byte : bytes) generation.OnToken(byte, out_);
    return generation.content_begin();
  };
  EXPECT_EQ(begin_after(" <th"), 4);  // may yet be content
  EXPECT_EQ(begin_after("ink>hm "), 0);
  EXPECT_EQ(begin_after("</think>\n\n"), 0);
  EXPECT_EQ(begin_after("y"), 1);
  EXPECT_EQ(begin_after("es"), 3);
}

// Lost behind each of its tokens, also inside a marker or a character.
TEST_F(ReasoningGenerationTest, ALostRunGoesOnInEachChannelWhereTheClientStands) {
  const std::string output = "<think>\n\xC3\xA9 <t> \n</think>\n\n\xE4\xBD\xA0, <th\xFFxy";
  EngineRequest request = ThinkingRequest();
  request.stop_strings = {"xyz"};
  for (size_t lost_at = 0; lost_at <= output.size(); ++lost_at) {
    SCOPED_TRACE(lost_at);
    OutputText told;
    Generation first(request, *tokenizer_);
    for (size_t i = 0; i < lost_at; ++i) first.OnToken(static_cast<uint8_t>(output[i]), told);

    EngineRequest rest = request;
    for (size_t i = 0; i < lost_at; ++i) rest.resumed.push_back(static_cast<uint8_t>(output[i]));
    rest.resumed_reasoning_bytes = static_cast<int64_t>(told.reasoning.size());
    rest.resumed_content_bytes = static_cast<int64_t>(told.content.size());
    Generation second(rest, *tokenizer_);
    ASSERT_EQ(second.Replay(), std::nullopt);
    told.reasoning += second.text_at_start.reasoning;
    told.content += second.text_at_start.content;
    for (size_t i = lost_at; i < output.size(); ++i) {
      second.OnToken(static_cast<uint8_t>(output[i]), told);
    }
    second.OnToken(kByteVocabularyEnd, told);

    EXPECT_EQ(told.reasoning, "\u00e9 <t>");
    EXPECT_EQ(told.content, "\u4f60, <th\uFFFDxy");
    EXPECT_EQ(second.reasoning_tokens(), 26);
  }
}

// --- with tools ---

// Lost behind each of its tokens: each call is told once, and its arguments go on where they were.
TEST_F(ReasoningGenerationTest, ALostRunGoesOnWithinItsCalls) {
  const std::string output =
      "<think>a</think>b <tool_call>{\"name\":\"f\",\"arguments\":{\"a\": "
      "\"\xC3\xA9\"}}</tool_call>"
      "<tool_call>{\"name\":\"g\"}</tool_call> c";
  EngineRequest request = ThinkingRequest();
  request.new_tokens_max = 200;
  request.tools = {.format = &FindToolCallFormat("<tool_call><tools>"), .tools = {"f", "g"}};
  for (size_t lost_at = 0; lost_at <= output.size(); ++lost_at) {
    SCOPED_TRACE(lost_at);
    OutputText told;
    Generation first(request, *tokenizer_);
    for (size_t i = 0; i < lost_at; ++i) first.OnToken(static_cast<uint8_t>(output[i]), told);

    EngineRequest rest = request;
    for (size_t i = 0; i < lost_at; ++i) rest.resumed.push_back(static_cast<uint8_t>(output[i]));
    rest.resumed_reasoning_bytes = static_cast<int64_t>(told.reasoning.size());
    rest.resumed_content_bytes = static_cast<int64_t>(told.content.size());
    for (const ToolCallDelta& call : told.tool_calls) {
      rest.resumed_tool_calls += call.name.empty() ? 0 : 1;
      rest.resumed_tool_argument_bytes += static_cast<int64_t>(call.arguments.size());
    }
    Generation second(rest, *tokenizer_);
    ASSERT_EQ(second.Replay(), std::nullopt);
    told.content += second.text_at_start.content;
    for (const ToolCallDelta& call : second.text_at_start.tool_calls)
      told.tool_calls.push_back(call);
    for (size_t i = lost_at; i < output.size(); ++i) {
      second.OnToken(static_cast<uint8_t>(output[i]), told);
    }
    second.OnToken(kByteVocabularyEnd, told);

    std::string calls;
    for (const ToolCallDelta& call : told.tool_calls) {
      if (!call.name.empty()) calls += " " + call.name + ":";
      calls += call.arguments;
    }
    EXPECT_EQ(calls, " f:{\"a\": \"\u00e9\"} g:{}");
    EXPECT_EQ(told.content, "bc");
  }
}

TEST_F(GenerationTest, OneCallEndsIt) {
  EngineRequest request = Request();
  request.new_tokens_max = 200;
  request.tools = {
      .format = &FindToolCallFormat("[TOOL_CALLS][ARGS]"), .tools = {}, .one_call = true};
  Generation generation(request, *tokenizer_);
  std::optional<EndReason> end;
  for (const char byte : std::string_view("[TOOL_CALLS]f[ARGS]{")) {
    EXPECT_EQ(generation.OnToken(byte, out_), std::nullopt);
  }
  EXPECT_EQ(generation.OnToken('}', out_), EndReason::kStop);
  EXPECT_EQ(generation.stop_string(), "");
}

}  // namespace
}  // namespace spillway
