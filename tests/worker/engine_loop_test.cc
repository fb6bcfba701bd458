// The loop against a fake device: what comes out for what goes in, with the real scheduler.

#include "worker/engine_loop.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "tests/support/byte_vocabulary.h"
#include "tests/support/fake_executor.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

// Counts up the alphabet: after 'a' comes 'b'; after 'z' the text ends.
TokenId Alphabet(std::span<const TokenId> tokens) {
  return tokens.back() == 'z' ? kByteVocabularyEnd : tokens.back() + 1;
}

constexpr ExecutorShape kShape = {.running_max = 4,
                                  .step_tokens_max = 16,
                                  .block_tokens = 4,
                                  .block_count = 32,
                                  .sequence_tokens_max = 64,
                                  .vocabulary_size = kByteVocabularySize};

SchedulerLimits Limits() {
  SchedulerLimits limits;
  limits.waiting_max = 8;
  limits.running_max = kShape.running_max;
  limits.step_tokens_max = kShape.step_tokens_max;
  limits.block_tokens = kShape.block_tokens;
  limits.block_count = kShape.block_count;
  limits.sequence_tokens_max = kShape.sequence_tokens_max;
  return limits;
}

// What was heard of each sequence.
class RecordingSink : public EngineSink {
 public:
  struct Heard {
    bool accepted = false;
    bool started = false;
    std::string text;
    std::string reasoning;
    int32_t reasoning_tokens = 0;
    std::vector<TokenId> tokens;
    std::vector<TokenLogprobs> logprobs;
    size_t logprobs_of_largest_delta = 0;
    std::optional<EndedEvent> ended;
    std::optional<FailedEvent> failed;
  };

  void OnStep(std::span<EngineEvent> events, const EngineLoad& load) override {
    for (EngineEvent& event : events) {
      Heard& heard = heard_[event.sequence];
      EXPECT_FALSE(heard.ended.has_value() || heard.failed.has_value()) << "an event after the end";
      if (auto* delta = std::get_if<DeltaEvent>(&event.what)) {
        EXPECT_TRUE(heard.started) << "a delta before the start";
        heard.text += delta->text.content;
        heard.reasoning += delta->text.reasoning;
        EXPECT_GE(delta->reasoning_tokens, heard.reasoning_tokens);
        heard.reasoning_tokens = delta->reasoning_tokens;
        heard.logprobs_of_largest_delta =
            std::max(heard.logprobs_of_largest_delta, delta->logprobs.size());
        heard.tokens.insert(heard.tokens.end(), delta->tokens.begin(), delta->tokens.end());
        heard.logprobs.insert(heard.logprobs.end(), delta->logprobs.begin(), delta->logprobs.end());
      } else if (auto* ended = std::get_if<EndedEvent>(&event.what)) {
        heard.ended = *ended;
      } else if (auto* failed = std::get_if<FailedEvent>(&event.what)) {
        heard.failed = *failed;
      } else if (std::holds_alternative<AcceptedEvent>(event.what)) {
        heard.accepted = true;
      } else {
        EXPECT_TRUE(heard.accepted);
        heard.started = true;
      }
    }
    load_ = load;
  }

  Heard& operator[](int id) { return heard_[SequenceId{static_cast<uint64_t>(id)}]; }
  const EngineLoad& load() const { return load_; }

 private:
  std::map<SequenceId, Heard> heard_;
  EngineLoad load_;
};

class EngineLoopTest : public ::testing::Test {
 protected:
  EngineRequest Request(int id, std::string_view prompt, int32_t new_tokens_max = 40) {
    EngineRequest request;
    request.id = SequenceId{static_cast<uint64_t>(id)};
    request.prompt.assign(prompt.begin(), prompt.end());
    request.new_tokens_max = new_tokens_max;
    request.arrival = clock_.Now();
    return request;
  }

  // Turns until nothing is left to do.
  void Drain() {
    for (int turn = 0; turn < 1000; ++turn) {
      ASSERT_TRUE(engine_.RunOnce(absl::ZeroDuration()).ok());
      clock_.Advance(absl::Milliseconds(10));
      const EngineLoad& load = sink_.load();
      if (turn > 3 && load.running == 0 && load.waiting == 0) return;
    }
    FAIL() << "still busy after 1000 turns";
  }

  ManualClock clock_;
  const std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  FakeExecutor executor_{kShape, Alphabet};
  RecordingSink sink_;
  EngineLoop engine_{{}, Limits(), executor_, *tokenizer_, clock_, sink_};
};

TEST_F(EngineLoopTest, RunsASequenceToTheEndOfItsText) {
  ASSERT_TRUE(engine_.Submit(Request(1, "w")));
  Drain();
  EXPECT_TRUE(sink_[1].started);
  EXPECT_EQ(sink_[1].text, "xyz");
  ASSERT_TRUE(sink_[1].ended.has_value());
  EXPECT_EQ(sink_[1].ended->reason, EndReason::kStop);
  EXPECT_EQ(sink_[1].ended->usage.prompt_tokens, 1);
  EXPECT_EQ(sink_[1].ended->usage.completion_tokens, 4);
  EXPECT_EQ(sink_.load().kv_blocks_free, kShape.block_count);
}

TEST_F(EngineLoopTest, StopsAtTheLengthAskedForWithoutComputingMore) {
  ASSERT_TRUE(engine_.Submit(Request(1, "a", /*new_tokens_max=*/5)));
  Drain();
  EXPECT_EQ(sink_[1].text, "bcdef");
  EXPECT_EQ(sink_[1].ended->reason, EndReason::kLength);
  EXPECT_EQ(executor_.tokens_computed(), 5);  // The last token sampled is never an input.
}

TEST_F(EngineLoopTest, PlansTheNextStepWhileOneIsInFlight) {
  ASSERT_TRUE(engine_.Submit(Request(1, "a")));
  Drain();
  EXPECT_EQ(executor_.in_flight_max(), 2);
}

TEST_F(EngineLoopTest, AStopStringEndsTheSequenceAndIsCutFromTheText) {
  EngineRequest request = Request(1, "a");
  request.stop_strings = {"ef"};
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_EQ(sink_[1].text, "bcd");
  EXPECT_EQ(sink_[1].ended->stop_string, "ef");
}

TEST_F(EngineLoopTest, TellsLogprobsAtOnceAndWhereTheirTextBegins) {
  EngineRequest request = Request(1, "a", /*new_tokens_max=*/4);
  request.sampling.top_logprobs = 2;
  request.stop_strings = {"cd!"};
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  ASSERT_TRUE(engine_.Submit(Request(2, "a", 4)));
  Drain();
  EXPECT_EQ(sink_[1].text, "bcde");
  ASSERT_EQ(sink_[1].logprobs.size(), 4u);
  for (int32_t i = 0; i < 4; ++i) {
    const TokenLogprobs& logprobs = sink_[1].logprobs[static_cast<size_t>(i)];
    EXPECT_EQ(logprobs.token, 'b' + i);
    EXPECT_EQ(logprobs.content_begin, i);
    EXPECT_EQ(logprobs.logprob, FakeExecutor::LogprobOfRank(1));
    EXPECT_EQ(logprobs.rank, 1);
    ASSERT_EQ(logprobs.top.size(), 2u);
    EXPECT_EQ(logprobs.top[1].token, 'c' + i);
    EXPECT_EQ(logprobs.top[1].logprob, FakeExecutor::LogprobOfRank(2));
  }
  EXPECT_TRUE(sink_[2].logprobs.empty());
}

TEST_F(EngineLoopTest, ControlTokensHaveNoTextAndSoNoLogprobs) {
  EngineRequest request = Request(1, "y");
  request.sampling.top_logprobs = 0;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  ASSERT_EQ(sink_[1].tokens, (std::vector<TokenId>{'z', kByteVocabularyEnd}));
  ASSERT_EQ(sink_[1].logprobs.size(), 2u);
  EXPECT_FALSE(sink_[1].logprobs[0].silent);
  EXPECT_EQ(sink_[1].logprobs[1].token, kByteVocabularyEnd);
  EXPECT_TRUE(sink_[1].logprobs[1].silent);
}

TEST_F(EngineLoopTest, AnEchoComesBeforeTheOutput) {
  EngineRequest request = Request(1, "wx", /*new_tokens_max=*/1);
  request.echo = true;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_EQ(sink_[1].text, "wxy");
  EXPECT_EQ(sink_[1].ended->usage.completion_tokens, 1);
}

// The alphabet with a jump in it, in chunks of at most 16 tokens.
constexpr char kPrompt[] = "abcdefghijklmnopqrstuvw!";

TEST_F(EngineLoopTest, PromptsAreScoredChunkByChunkWithTheirEcho) {
  EngineRequest request = Request(1, kPrompt, /*new_tokens_max=*/1);
  request.echo = true;
  request.prompt_top_logprobs = 2;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  const std::string text = kPrompt;
  EXPECT_EQ(sink_[1].text, text + "\"");
  ASSERT_EQ(sink_[1].logprobs.size(), text.size());
  EXPECT_FALSE(sink_[1].logprobs[0].logprob.has_value());
  for (size_t i = 0; i < text.size(); ++i) {
    const TokenLogprobs& logprobs = sink_[1].logprobs[i];
    EXPECT_TRUE(logprobs.of_prompt);
    EXPECT_EQ(logprobs.token, text[i]);
    EXPECT_EQ(logprobs.content_begin, static_cast<int64_t>(i));
    if (i == 0) continue;
    const int32_t rank =
        1 + (text[i] - text[i - 1] - 1 + kByteVocabularySize) % kByteVocabularySize;
    EXPECT_EQ(logprobs.rank, rank);
    EXPECT_EQ(logprobs.logprob, FakeExecutor::LogprobOfRank(rank));
    ASSERT_EQ(logprobs.top.size(), 2u);
    EXPECT_EQ(logprobs.top[0].token, text[i - 1] + 1);
  }
}

TEST_F(EngineLoopTest, ScoringAPromptComputesWhatIsCachedAndCachesNothingForOthers) {
  const auto run = [this](int id, bool scored) {
    EngineRequest request = Request(id, kPrompt, /*new_tokens_max=*/1);
    if (scored) request.prompt_top_logprobs = 0;
    ASSERT_TRUE(engine_.Submit(std::move(request)));
    Drain();
  };
  run(1, /*scored=*/false);
  run(2, /*scored=*/true);
  run(3, /*scored=*/true);
  run(4, /*scored=*/false);
  for (const int id : {2, 3}) {
    EXPECT_EQ(sink_[id].ended->usage.cached_tokens, 0);
    EXPECT_EQ(sink_[id].logprobs.size(), std::string(kPrompt).size());
  }
  EXPECT_EQ(sink_[4].ended->usage.cached_tokens, 20);
  EXPECT_EQ(sink_[4].text, sink_[2].text);
}

TEST_F(EngineLoopTest, LongScoresGoInSeveralEvents) {
  EngineLoop engine({.delta_logprobs_max = 5}, Limits(), executor_, *tokenizer_, clock_, sink_);
  EngineRequest request = Request(1, kPrompt, /*new_tokens_max=*/1);
  request.echo = true;
  request.prompt_top_logprobs = 0;
  ASSERT_TRUE(engine.Submit(std::move(request)));
  for (int turn = 0; turn < 10; ++turn) ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  EXPECT_EQ(sink_[1].logprobs.size(), std::string(kPrompt).size());
  EXPECT_EQ(sink_[1].text, std::string(kPrompt) + "\"");
  EXPECT_EQ(sink_[1].logprobs_of_largest_delta, 5u);
}

TEST_F(EngineLoopTest, APromptAloneHasNoOutput) {
  EngineRequest request = Request(1, "ab", /*new_tokens_max=*/1);
  request.echo = true;
  request.prompt_top_logprobs = 0;
  request.prompt_only = true;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_EQ(sink_[1].text, "ab");
  EXPECT_EQ(sink_[1].logprobs.size(), 2u);
  EXPECT_TRUE(sink_[1].tokens.empty());
  EXPECT_EQ(sink_[1].ended->reason, EndReason::kLength);
  EXPECT_EQ(sink_[1].ended->usage.completion_tokens, 0);
}

TEST_F(EngineLoopTest, PreemptedPromptsAreScoredOnceAndWholly) {
  // Six blocks of 4 tokens for three sequences that want 5 each.
  SchedulerLimits limits = Limits();
  limits.block_count = 12;
  ExecutorShape shape = kShape;
  shape.block_count = 12;
  FakeExecutor executor(shape, Alphabet);
  EngineLoop engine({}, limits, executor, *tokenizer_, clock_, sink_);
  for (int id = 1; id <= 3; ++id) {
    EngineRequest request = Request(id, "abcdefghi", /*new_tokens_max=*/14);
    request.prompt_top_logprobs = 0;
    request.sampling.top_logprobs = 0;
    ASSERT_TRUE(engine.Submit(std::move(request)));
  }
  for (int turn = 0; turn < 200; ++turn) ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  ASSERT_GT(sink_.load().preemptions, 0u);
  for (int id = 1; id <= 3; ++id) {
    EXPECT_EQ(sink_[id].text, "jklmnopqrstuvw");
    ASSERT_EQ(sink_[id].logprobs.size(), 9u + 14u);
    for (size_t i = 0; i < sink_[id].logprobs.size(); ++i) {
      EXPECT_EQ(sink_[id].logprobs[i].token, static_cast<TokenId>('a' + i));
      EXPECT_EQ(sink_[id].logprobs[i].of_prompt, i < 9);
    }
  }
}

TEST_F(EngineLoopTest, AResumedPromptIsScoredFromWhereTheClientStands) {
  EngineRequest request = Request(1, "abcdefg", /*new_tokens_max=*/1);
  request.echo = true;
  request.prompt_top_logprobs = 0;
  request.resumed_logprobs = 4;
  request.resumed_content_bytes = 4;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_EQ(sink_[1].text, "efgh");
  ASSERT_EQ(sink_[1].logprobs.size(), 3u);
  EXPECT_EQ(sink_[1].logprobs[0].token, 'e');
  EXPECT_EQ(sink_[1].logprobs[0].content_begin, 4);
}

TEST_F(EngineLoopTest, AnAnswerThatWasWholeBeforeItsResumeStartsAndEnds) {
  EngineRequest request = Request(1, "a", /*new_tokens_max=*/3);
  request.resumed = {'b', 'c', 'd'};
  request.resumed_content_bytes = 1;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_TRUE(sink_[1].started);
  EXPECT_EQ(sink_[1].text, "cd");
  EXPECT_EQ(sink_[1].ended->reason, EndReason::kLength);
}

TEST_F(EngineLoopTest, PromptScoresThatAreNoNumbersFailTheSequence) {
  FakeExecutor executor(kShape, [](std::span<const TokenId> tokens) {
    return tokens.back() == 'n' ? SampledToken::kNone : Alphabet(tokens);
  });
  EngineLoop engine({}, Limits(), executor, *tokenizer_, clock_, sink_);
  EngineRequest request = Request(1, "abn" + std::string(kPrompt), /*new_tokens_max=*/5);
  request.prompt_top_logprobs = 1;
  ASSERT_TRUE(engine.Submit(std::move(request)));
  ASSERT_TRUE(engine.Submit(Request(2, "w")));
  for (int turn = 0; turn < 20; ++turn) ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  ASSERT_TRUE(sink_[1].failed.has_value());
  EXPECT_EQ(sink_[1].failed->reason, "not_a_number");
  EXPECT_EQ(sink_[2].text, "xyz");
  EXPECT_EQ(sink_.load().running + sink_.load().waiting, 0);
}

TEST_F(EngineLoopTest, ManySequencesShareStepsAndEachGetsItsOwnText) {
  for (int id = 0; id < 8; ++id) {
    const std::string prompt(1, static_cast<char>('a' + id));
    ASSERT_TRUE(engine_.Submit(Request(id, prompt, /*new_tokens_max=*/10)));
  }
  Drain();
  for (int id = 0; id < 8; ++id) {
    std::string expected;
    for (int i = 1; i <= 10; ++i) expected.push_back(static_cast<char>('a' + id + i));
    EXPECT_EQ(sink_[id].text, expected) << id;
  }
  EXPECT_EQ(executor_.rows_max(), kShape.running_max);
}

TEST_F(EngineLoopTest, ACancelledSequenceFreesItsMemoryWithinOneStepAndIsNeverHeardOfAgain) {
  ASSERT_TRUE(engine_.Submit(Request(1, "a")));
  for (int turn = 0; turn < 5; ++turn) ASSERT_TRUE(engine_.RunOnce(absl::ZeroDuration()).ok());
  const std::string before = sink_[1].text;
  ASSERT_LT(sink_.load().kv_blocks_free, kShape.block_count);

  engine_.Cancel(SequenceId{1});
  ASSERT_TRUE(engine_.RunOnce(absl::ZeroDuration()).ok());

  EXPECT_EQ(sink_.load().kv_blocks_free, kShape.block_count);
  Drain();
  EXPECT_EQ(sink_[1].text, before);
  EXPECT_FALSE(sink_[1].ended.has_value());
}

TEST_F(EngineLoopTest, ACancellationOvertakesAFullQueue) {
  EngineLoop engine({.commands_max = 2}, Limits(), executor_, *tokenizer_, clock_, sink_);
  ASSERT_TRUE(engine.Submit(Request(1, "a")));
  ASSERT_TRUE(engine.Submit(Request(2, "a")));
  EXPECT_FALSE(engine.Submit(Request(3, "a")));
  engine.Cancel(SequenceId{1});
  ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  EXPECT_EQ(sink_.load().running + sink_.load().waiting, 1);
}

TEST_F(EngineLoopTest, ADeadlineFailsTheSequenceAndSaysSo) {
  EngineRequest request = Request(1, "a");
  request.deadline = clock_.Now() + absl::Milliseconds(25);
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  ASSERT_TRUE(sink_[1].failed.has_value());
  EXPECT_EQ(sink_[1].failed->reason, "deadline");
  EXPECT_EQ(sink_[1].failed->status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineLoopTest, AFullWaitingQueueRefuses) {
  for (int id = 0; id < 9; ++id) ASSERT_TRUE(engine_.Submit(Request(id, "a")));
  ASSERT_TRUE(engine_.RunOnce(absl::ZeroDuration()).ok());
  ASSERT_TRUE(sink_[8].failed.has_value());
  EXPECT_EQ(sink_[8].failed->reason, "queue_full");
  EXPECT_FALSE(sink_[8].accepted);
}

TEST_F(EngineLoopTest, ASecondEqualPromptIsServedFromThePrefixCache) {
  const std::string prompt = "aaaabbbbccccdddde";
  ASSERT_TRUE(engine_.Submit(Request(1, prompt)));
  Drain();
  ASSERT_TRUE(engine_.Submit(Request(2, prompt)));
  Drain();
  EXPECT_EQ(sink_[2].ended->usage.cached_tokens, 16);
  EXPECT_EQ(sink_[2].text, sink_[1].text);
}

TEST_F(EngineLoopTest, AResumedSequenceGoesOnWhereTheClientStands) {
  EngineRequest request = Request(1, "a", /*new_tokens_max=*/6);
  request.resumed = {'b', 'c', 'd'};
  request.resumed_content_bytes = 2;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_EQ(sink_[1].text, "defg");
  EXPECT_EQ(sink_[1].ended->usage.prompt_tokens, 1);
  EXPECT_EQ(sink_[1].ended->usage.completion_tokens, 6);
}

TEST_F(EngineLoopTest, TellsReasoningApartAlsoWhereItIsResumed) {
  const std::string output = "<think>\nhm</think>\n\nyes";
  FakeExecutor executor(kShape, [&output](std::span<const TokenId> tokens) -> TokenId {
    const size_t written = tokens.size() - 1;
    return written < output.size() ? output[written] : kByteVocabularyEnd;
  });
  EngineLoop engine({}, Limits(), executor, *tokenizer_, clock_, sink_);
  EngineRequest whole = Request(1, "a");
  whole.reasoning = {.format = FindReasoningFormat("</think>")};
  EngineRequest resumed = whole;
  resumed.id = SequenceId{2};
  resumed.resumed.assign(output.begin(), output.begin() + 15);  // within the closing marker
  resumed.resumed_reasoning_bytes = 1;
  EngineRequest open = Request(3, "a");
  open.reasoning = {.format = whole.reasoning.format, .open = true};
  open.new_tokens_max = 10;
  for (EngineRequest& request : std::array{whole, resumed, open}) {
    ASSERT_TRUE(engine.Submit(std::move(request)));
  }
  for (int turn = 0; turn < 60; ++turn) ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());

  EXPECT_EQ(sink_[1].reasoning, "hm");
  EXPECT_EQ(sink_[1].text, "yes");
  EXPECT_EQ(sink_[2].reasoning, "m");
  EXPECT_EQ(sink_[2].text, "yes");
  EXPECT_EQ(sink_[3].reasoning, "hm");
  EXPECT_EQ(sink_[3].text, "");
  for (const int id : {1, 2}) {
    EXPECT_EQ(sink_[id].ended->usage.reasoning_tokens, 20);
    EXPECT_EQ(sink_[id].ended->usage.completion_tokens, 24);
  }
  EXPECT_EQ(sink_[3].ended->usage.reasoning_tokens, 10);
}

TEST_F(EngineLoopTest, TheTextDoesNotEndBeforeTheMinimum) {
  EngineRequest request = Request(1, "z", /*new_tokens_max=*/1);
  request.new_tokens_min = 1;
  ASSERT_TRUE(engine_.Submit(std::move(request)));
  Drain();
  EXPECT_EQ(sink_[1].tokens, std::vector<TokenId>{kByteVocabularyEnd - 1});
}

TEST_F(EngineLoopTest, AStepCountsFromTheEndOfTheOneBeforeIt) {
  executor_.OnEachStep([this] { clock_.Advance(absl::Milliseconds(40)); });
  ASSERT_TRUE(engine_.Submit(Request(1, "a", /*new_tokens_max=*/20)));
  // Each step is launched while the one before runs: 40 ms earlier than it begins.
  for (int turn = 0; turn < 15; ++turn) ASSERT_TRUE(engine_.RunOnce(absl::ZeroDuration()).ok());
  EXPECT_NEAR(sink_.load().step_ms, 40, 1);
  EXPECT_NEAR(sink_.load().decode_tokens_per_s, 25, 1);
}

TEST_F(EngineLoopTest, APromptCountsAsPrefillAlsoInTheStepThatSamples) {
  ASSERT_TRUE(engine_.Submit(Request(1, "abcdefgh", /*new_tokens_max=*/1)));
  ASSERT_TRUE(engine_.RunOnce(absl::ZeroDuration()).ok());
  clock_.Advance(absl::Milliseconds(10));
  Drain();
  EXPECT_NEAR(sink_.load().prefill_tokens_per_s, 800, 1);
  EXPECT_EQ(sink_.load().decode_tokens_per_s, 0);
}

TEST_F(EngineLoopTest, LogitsThatAreNoNumbersFailOnlyTheirSequence) {
  FakeExecutor executor(kShape, [](std::span<const TokenId> tokens) {
    return tokens.back() == 'n' ? SampledToken::kNone : Alphabet(tokens);
  });
  EngineLoop engine({}, Limits(), executor, *tokenizer_, clock_, sink_);
  ASSERT_TRUE(engine.Submit(Request(1, "m")));
  ASSERT_TRUE(engine.Submit(Request(2, "w")));
  for (int turn = 0; turn < 20; ++turn) ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  ASSERT_TRUE(sink_[1].failed.has_value());
  EXPECT_EQ(sink_[1].failed->reason, "not_a_number");
  EXPECT_EQ(sink_[2].text, "xyz");
}

TEST_F(EngineLoopTest, AFailedDeviceFailsEverySequenceAndEndsTheLoop) {
  ASSERT_TRUE(engine_.Submit(Request(1, "a")));
  ASSERT_TRUE(engine_.Submit(Request(2, "b")));
  executor_.FailWith(absl::InternalError("the device is on fire"));
  EXPECT_EQ(engine_.Run().code(), absl::StatusCode::kInternal);
  for (int id : {1, 2}) {
    ASSERT_TRUE(sink_[id].failed.has_value());
    EXPECT_EQ(sink_[id].failed->reason, "device_failed");
  }
}

TEST_F(EngineLoopTest, GivesSignsWithTheTimeThatItsWorkMayTake) {
  const EngineLimits limits = {
      .idle_wait = absl::Seconds(1),
      .patience = {.least = absl::Seconds(30), .unmeasured_token = absl::Seconds(10)}};
  EngineLoop engine(limits, Limits(), executor_, *tokenizer_, clock_, sink_);
  std::vector<EngineSign> signs;
  executor_.OnEachStep([&] {
    signs.push_back(engine.sign());
    clock_.Advance(absl::Milliseconds(10));
  });
  EXPECT_EQ(engine.sign().patience, absl::Seconds(31));
  ASSERT_TRUE(engine.Submit(Request(1, "abcdefgh", /*new_tokens_max=*/4)));
  for (int turn = 0; turn < 10; ++turn) ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  // A prompt of eight tokens, and the decode that was launched behind it.
  ASSERT_EQ(signs.size(), 4u);
  EXPECT_EQ(signs[0].patience, absl::Seconds(1 + 8 * 10 + 10));
  for (size_t i = 1; i < signs.size(); ++i) {
    EXPECT_GT(signs[i].turn, signs[i - 1].turn);
    EXPECT_EQ(signs[i].patience, absl::Seconds(31));
  }
  const uint64_t turn = engine.sign().turn;
  ASSERT_TRUE(engine.RunOnce(absl::ZeroDuration()).ok());
  EXPECT_GT(engine.sign().turn, turn) << "idle, and alive";
}

TEST_F(EngineLoopTest, StopEndsTheLoopFromAnotherThread) {
  ASSERT_TRUE(engine_.Submit(Request(1, "a")));
  std::thread engine_thread([this] { EXPECT_TRUE(engine_.Run().ok()); });
  engine_.Stop();
  engine_thread.join();
  EXPECT_FALSE(engine_.Submit(Request(2, "a")));
}

}  // namespace
}  // namespace spillway
