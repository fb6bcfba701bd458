#include "router/request_flow.h"

#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
const ReplicaKey kFirst = {ReplicaId{0}, 1};
const ReplicaKey kSecond = {ReplicaId{1}, 1};

// Each action in a few words, so that a test reads as a conversation.
std::string Words(const FlowAction& action) {
  return std::visit(
      [](const auto& a) -> std::string {
        using Action = std::decay_t<decltype(a)>;
        if constexpr (std::is_same_v<Action, ChooseReplicaAction>) {
          std::string text = "choose";
          for (const int32_t choice : a.choices) absl::StrAppend(&text, " ", choice);
          return text;
        } else if constexpr (std::is_same_v<Action, SubmitAction>) {
          return absl::StrCat("submit ", a.sequence.choice, ".", a.sequence.attempt, " to ",
                              static_cast<int32_t>(a.replica.id), " seed ", a.seed);
        } else if constexpr (std::is_same_v<Action, CancelSequenceAction>) {
          return absl::StrCat("cancel ", a.sequence.choice, ".", a.sequence.attempt, " on ",
                              static_cast<int32_t>(a.replica.id));
        } else if constexpr (std::is_same_v<Action, EmitAcceptedAction>) {
          return absl::StrCat("accepted ", a.prompt_tokens);
        } else if constexpr (std::is_same_v<Action, EmitStartedAction>) {
          return absl::StrCat("started ", a.cached_tokens);
        } else if constexpr (std::is_same_v<Action, EmitDeltaAction>) {
          std::string text =
              absl::StrCat("delta ", a.choice, " '", a.output.content, "' ", a.token_count);
          if (!a.output.reasoning.empty()) absl::StrAppend(&text, " (", a.output.reasoning, ")");
          for (const TokenLogprobs& logprobs : a.output.logprobs) {
            absl::StrAppend(&text, " [", logprobs.token.text, "]");
          }
          return text;
        } else if constexpr (std::is_same_v<Action, EmitFinishedAction>) {
          return absl::StrCat("finished ", a.choice,
                              a.reason == FinishReason::kStop ? " stop" : " length", " ",
                              a.usage.prompt_tokens, "+", a.usage.completion_tokens, " cached ",
                              a.usage.cached_tokens);
        } else {
          return absl::StrCat("failed ", a.error.reason);
        }
      },
      action);
}

class RequestFlowTest : public ::testing::Test {
 protected:
  RequestFlow& Make(RequestFlow::Options options = {}) {
    flow_.emplace(options, budget_);
    return *flow_;
  }
  // A flow whose choices are all submitted to kFirst.
  RequestFlow& MakeSubmitted(RequestFlow::Options options = {}) {
    RequestFlow& flow = Make(options);
    flow.Start(kNow, actions_);
    std::vector<int32_t> all;
    for (int32_t i = 0; i < options.choices; ++i) all.push_back(i);
    flow.OnPlaced(all, kFirst, actions_);
    Take();
    return flow;
  }
  // A flow of one choice that has said "Hi" in two tokens.
  RequestFlow& MakeSpeaking(RequestFlow::Options options = {}) {
    RequestFlow& flow = MakeSubmitted(options);
    flow.OnAccepted({0, 0}, 5, actions_);
    flow.OnStarted({0, 0}, 3, actions_);
    flow.OnDelta({0, 0}, {"Hi"}, std::vector<int32_t>{11, 12}, actions_);
    Take();
    return flow;
  }
  std::vector<std::string> Take() {
    std::vector<std::string> words;
    for (const FlowAction& action : actions_) words.push_back(Words(action));
    actions_.clear();
    return words;
  }
  static std::vector<int32_t> Tokens(int32_t count) {
    return std::vector<int32_t>(static_cast<size_t>(count), 7);
  }
  // A delta with the logprobs of tokens whose texts begin at these places.
  static OutputDelta Scored(std::string content,
                            std::vector<std::pair<std::string, uint64_t>> tokens) {
    OutputDelta delta = {std::move(content)};
    for (auto& [text, begin] : tokens) {
      delta.logprobs.push_back({.token = {.text = std::move(text)}, .content_begin = begin});
    }
    return delta;
  }
  static GenerateError Error(absl::StatusCode code, std::string reason) {
    return {.status = absl::Status(code, "said by a worker"), .reason = std::move(reason)};
  }

  ResumeBudget budget_{1000};
  FlowActions actions_;
  std::optional<RequestFlow> flow_;
};

const std::vector<int32_t> kZero = {0};

TEST_F(RequestFlowTest, RunsFromStartToFinish) {
  RequestFlow& flow = Make({.seed = 40});
  flow.Start(kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0"));
  flow.OnPlaced(kZero, kFirst, actions_);
  EXPECT_THAT(Take(), ElementsAre("submit 0.0 to 0 seed 40"));
  flow.OnAccepted({0, 0}, 5, actions_);
  EXPECT_THAT(Take(), ElementsAre("accepted 5"));
  flow.OnStarted({0, 0}, 3, actions_);
  EXPECT_THAT(Take(), ElementsAre("started 3"));
  flow.OnDelta({0, 0}, {"Hi"}, Tokens(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'Hi' 1"));
  flow.OnFinished({0, 0}, FinishReason::kStop, {5, 3, 2}, actions_);
  EXPECT_THAT(Take(), ElementsAre("finished 0 stop 5+2 cached 3"));
  EXPECT_TRUE(flow.ended());
  EXPECT_EQ(flow.ignored_events(), 0);
  EXPECT_EQ(budget_.bytes_used(), 0);
}

TEST_F(RequestFlowTest, TokensWithoutTextAreCountedWithTheNextText) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  flow.OnDelta({0, 0}, {""}, Tokens(2), actions_);
  EXPECT_THAT(Take(), IsEmpty());
  flow.OnDelta({0, 0}, {"é"}, Tokens(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'é' 3"));
}

TEST_F(RequestFlowTest, LogprobsGoWithTheFirstTextOfTheirTokens) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  flow.OnDelta({0, 0}, Scored("a", {{"a<", 0}}), Tokens(1), actions_);  // "<" may begin a stop
  EXPECT_THAT(Take(), ElementsAre("delta 0 'a' 1 [a<]"));
  flow.OnDelta({0, 0}, Scored("", {{"b", 2}}), Tokens(1), actions_);
  EXPECT_THAT(Take(), IsEmpty());
  flow.OnDelta({0, 0}, Scored("<b", {{"\xc3", 3}}), Tokens(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 '<b' 2 [b]"));
  // Half a character, then the whole: both tokens' text is in it.
  flow.OnDelta({0, 0}, Scored("é", {{"\xa9", 3}}), Tokens(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'é' 1 [\xc3] [\xa9]"));
}

TEST_F(RequestFlowTest, LogprobsOfTextThatAStopStringCutsAreNeverTold) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  flow.OnDelta({0, 0}, Scored("ab", {{"a", 0}, {"b", 1}, {"stop", 2}}), Tokens(3), actions_);
  flow.OnFinished({0, 0}, FinishReason::kStop, {5, 0, 3}, actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'ab' 3 [a] [b]", "finished 0 stop 5+3 cached 0"));
}

TEST_F(RequestFlowTest, TokensWithoutTextGoWithWhatFollowsOrWithTheEnd) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  OutputDelta control = Scored("", {{"<control>", 0}});
  control.logprobs[0].silent = true;
  flow.OnDelta({0, 0}, control, Tokens(1), actions_);
  flow.OnDelta({0, 0}, Scored("a", {{"a", 0}}), Tokens(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'a' 2 [<control>] [a]"));
  OutputDelta end = Scored("", {{"cut", 1}, {"<end>", 1}});
  end.logprobs[1].silent = true;
  flow.OnDelta({0, 0}, end, Tokens(2), actions_);
  flow.OnFinished({0, 0}, FinishReason::kStop, {5, 0, 4}, actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 '' 2 [<end>]", "finished 0 stop 5+4 cached 0"));
}

TEST_F(RequestFlowTest, APromptsLogprobsGoOnAtOnceAndAreCountedForAResume) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  OutputDelta prompt = Scored("", {{"p", 0}, {"q", 1}});
  for (TokenLogprobs& logprobs : prompt.logprobs) logprobs.of_prompt = true;
  flow.OnDelta({0, 0}, prompt, {}, actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 '' 0 [p] [q]"));
  flow.OnDelta({0, 0}, Scored("", {{"a", 0}}), Tokens(1), actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_EQ(flow.logprob_count(0), 3);
}

TEST_F(RequestFlowTest, ReasoningIsToldApartAndCountedForAResume) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  flow.OnDelta({0, 0}, {.reasoning = "hm,"}, Tokens(2), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 '' 2 (hm,)"));
  flow.OnDelta({0, 0}, {.content = "yes", .reasoning = " so"}, Tokens(3), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'yes' 3 ( so)"));
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_EQ(flow.reasoning_bytes(0), 6);
  EXPECT_EQ(flow.content_bytes(0), 3);
}

TEST_F(RequestFlowTest, CallsAreToldAndCountedForAResume) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  flow.OnDelta({0, 0}, {.tool_calls = {{.name = "f", .arguments = "{"}}}, Tokens(2), actions_);
  flow.OnDelta({0, 0}, {.tool_calls = {{.arguments = "}"}, {.index = 1, .name = "g"}}}, Tokens(1),
               actions_);
  ASSERT_EQ(actions_.size(), 2u);
  EXPECT_EQ(std::get<EmitDeltaAction>(actions_[1]).output.tool_calls.size(), 2u);
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_EQ(flow.tool_calls(0), 2);
  EXPECT_EQ(flow.tool_argument_bytes(0), 2);
}

TEST_F(RequestFlowTest, LogprobsOfTheReasoningAreNeverTold) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  Take();
  const auto say = [&](OutputDelta delta, std::string reasoning, int32_t reasoning_tokens) {
    delta.reasoning = std::move(reasoning);
    delta.reasoning_tokens = reasoning_tokens;
    const auto tokens = static_cast<int32_t>(delta.logprobs.size());
    flow.OnDelta({0, 0}, std::move(delta), Tokens(tokens), actions_);
    return Take();
  };
  EXPECT_THAT(say(Scored("", {{"<", 0}}), "", 0), IsEmpty());
  EXPECT_THAT(say(Scored("", {{"think>", 1}, {"hm", 0}}), "hm", 3),
              ElementsAre("delta 0 '' 3 (hm)"));
  EXPECT_THAT(say(Scored("", {{"</thi", 0}}), "", 3), IsEmpty());
  EXPECT_THAT(say(Scored("y", {{"nk>", 0}, {"y", 0}, {"<", 1}}), "", 5),
              ElementsAre("delta 0 'y' 4 [y]"));
  EXPECT_THAT(say(Scored("<b", {{"b", 2}}), "", 5), ElementsAre("delta 0 '<b' 1 [<] [b]"));
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_EQ(flow.logprob_count(0), 8);
}

TEST_F(RequestFlowTest, LogprobsOfTheReasoningAreKnownByTheirPlaceOnTheNextWorkerToo) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  flow.OnDelta({0, 0}, Scored("", {{"hm", 0}, {"</thi", 0}}), Tokens(2), actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  flow.OnPlaced(kZero, kSecond, actions_);
  flow.OnAccepted({0, 1}, 5, actions_);
  flow.OnStarted({0, 1}, 0, actions_);
  Take();
  OutputDelta end = Scored("y", {{"nk>", 0}, {"y", 0}});
  end.reasoning_tokens = 3;
  flow.OnDelta({0, 1}, end, Tokens(2), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'y' 4 [y]"));
}

TEST_F(RequestFlowTest, LogprobsOfHeldBackTextOutliveTheirWorker) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  flow.OnDelta({0, 0}, Scored("a", {{"a", 0}}), Tokens(1), actions_);
  flow.OnDelta({0, 0}, Scored("", {{"b", 1}}), Tokens(1), actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  flow.OnPlaced(kZero, kSecond, actions_);
  flow.OnAccepted({0, 1}, 5, actions_);
  flow.OnStarted({0, 1}, 0, actions_);
  Take();
  // The next worker has the text of both, and the logprobs of what it samples itself.
  flow.OnDelta({0, 1}, Scored("bc", {{"c", 2}}), Tokens(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'bc' 2 [b] [c]"));
}

TEST_F(RequestFlowTest, EachChoiceHasItsOwnSeedAndOnePlaceToRun) {
  RequestFlow& flow = Make({.choices = 2, .seed = 40});
  flow.Start(kNow, actions_);
  flow.OnPlaced(std::vector<int32_t>{0, 1}, kSecond, actions_);
  EXPECT_THAT(Take(),
              ElementsAre("choose 0 1", "submit 0.0 to 1 seed 40", "submit 1.0 to 1 seed 41"));
}

TEST_F(RequestFlowTest, NothingIsToldBeforeAllChoicesAreAccepted) {
  RequestFlow& flow = MakeSubmitted({.choices = 2});
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 3, actions_);
  flow.OnDelta({0, 0}, {"a"}, Tokens(1), actions_);
  flow.OnDelta({0, 0}, {"b"}, Tokens(1), actions_);
  flow.OnFinished({0, 0}, FinishReason::kLength, {5, 3, 2}, actions_);
  EXPECT_THAT(Take(), IsEmpty());
  flow.OnAccepted({1, 0}, 5, actions_);
  EXPECT_THAT(Take(), ElementsAre("accepted 5", "started 3", "delta 0 'ab' 2",
                                  "finished 0 length 5+2 cached 3"));
  EXPECT_FALSE(flow.ended());
}

TEST_F(RequestFlowTest, TotalUsageCountsThePromptOnce) {
  RequestFlow& flow = MakeSubmitted({.choices = 2});
  for (int32_t i = 0; i < 2; ++i) flow.OnAccepted({i, 0}, 5, actions_);
  for (int32_t i = 0; i < 2; ++i) {
    flow.OnStarted({i, 0}, i, actions_);
    flow.OnFinished({i, 0}, FinishReason::kStop, {5, 0, 10 + i, 2 + i}, actions_);
  }
  EXPECT_TRUE(flow.ended());
  EXPECT_EQ(flow.total_usage().prompt_tokens, 5);
  EXPECT_EQ(flow.total_usage().cached_tokens, 1);
  EXPECT_EQ(flow.total_usage().completion_tokens, 21);
  EXPECT_EQ(flow.total_usage().reasoning_tokens, 5);
}

TEST_F(RequestFlowTest, OneChoicesFailureFailsTheRequest) {
  RequestFlow& flow = MakeSubmitted({.choices = 3});
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  flow.OnFailed({1, 0}, Error(absl::StatusCode::kInvalidArgument, "context_length_exceeded"), kNow,
                actions_);
  EXPECT_THAT(Take(),
              ElementsAre("cancel 0.0 on 0", "cancel 2.0 on 0", "failed context_length_exceeded"));
  EXPECT_TRUE(flow.ended());
}

TEST_F(RequestFlowTest, AClientsCancelReachesEveryWorkerAndTellsNobody) {
  RequestFlow& flow = MakeSubmitted({.choices = 2});
  flow.Cancel(actions_);
  EXPECT_THAT(Take(), ElementsAre("cancel 0.0 on 0", "cancel 1.0 on 0"));
  flow.Cancel(actions_);
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.Tick(absl::InfiniteFuture(), actions_);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(RequestFlowTest, TheDeadlineCancelsAndFails) {
  RequestFlow& flow = MakeSubmitted({.deadline = kNow + absl::Seconds(1)});
  flow.Tick(kNow + absl::Milliseconds(999), actions_);
  EXPECT_THAT(Take(), IsEmpty());
  flow.Tick(kNow + absl::Seconds(1), actions_);
  EXPECT_THAT(Take(), ElementsAre("cancel 0.0 on 0", "failed deadline"));
}

TEST_F(RequestFlowTest, ALossBeforeTheFirstTokenIsResubmittedUnseen) {
  RequestFlow& flow = MakeSubmitted({.seed = 40});
  flow.OnAccepted({0, 0}, 5, actions_);
  EXPECT_THAT(Take(), ElementsAre("accepted 5"));
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0"));
  EXPECT_THAT(flow.excluded(0), ElementsAre(kFirst));
  flow.OnPlaced(kZero, kSecond, actions_);
  EXPECT_THAT(Take(), ElementsAre("submit 0.1 to 1 seed 40"));
  flow.OnAccepted({0, 1}, 5, actions_);
  EXPECT_THAT(Take(), IsEmpty());
  flow.OnStarted({0, 1}, 2, actions_);
  EXPECT_THAT(Take(), ElementsAre("started 2"));
  EXPECT_EQ(flow.resubmissions(), 1);
  EXPECT_EQ(flow.resumes(), 0);
}

TEST_F(RequestFlowTest, ALossMidStreamIsResumedWithAllThatWasSaid) {
  RequestFlow& flow = MakeSpeaking();
  flow.OnDelta({0, 0}, {""}, std::vector<int32_t>{13}, actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  flow.OnPlaced(kZero, kSecond, actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0", "submit 0.1 to 1 seed 0"));
  EXPECT_TRUE(flow.resumed(0));
  EXPECT_THAT(flow.resumed_token_ids(0), ElementsAre(11, 12, 13));
  EXPECT_EQ(flow.content_bytes(0), 2);
  EXPECT_EQ(flow.resumes(), 1);

  flow.OnAccepted({0, 1}, 5, actions_);
  flow.OnStarted({0, 1}, 0, actions_);
  flow.OnDelta({0, 1}, {" there"}, {}, actions_);  // text that the first worker held back
  flow.OnFinished({0, 1}, FinishReason::kStop, {5, 0, 3}, actions_);
  EXPECT_THAT(Take(), ElementsAre("delta 0 ' there' 1", "finished 0 stop 5+3 cached 3"));
}

TEST_F(RequestFlowTest, TheLossEndsItWhenThereIsNoOther) {
  RequestFlow& flow = MakeSpeaking();
  flow.OnLost({0, 0}, kNow, actions_);
  flow.OnNotPlaced(kZero, Error(absl::StatusCode::kUnavailable, "no_ready_replica"), actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0", "failed worker_lost"));
}

TEST_F(RequestFlowTest, ARefusalAtTheStartIsToldAsItIs) {
  RequestFlow& flow = Make();
  flow.Start(kNow, actions_);
  flow.OnNotPlaced(kZero, Error(absl::StatusCode::kResourceExhausted, "queue_full"), actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0", "failed queue_full"));
}

TEST_F(RequestFlowTest, AFullWorkerIsTriedElsewhereAndTheRefusalKept) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnFailed({0, 0}, Error(absl::StatusCode::kResourceExhausted, "queue_full"), kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0"));
  flow.OnNotPlaced(kZero, Error(absl::StatusCode::kUnavailable, "no_ready_replica"), actions_);
  EXPECT_THAT(Take(), ElementsAre("failed queue_full"));
}

TEST_F(RequestFlowTest, AWorkersOwnCancelIsALoss) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnFailed({0, 0}, Error(absl::StatusCode::kCancelled, "cancelled"), kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0"));
}

TEST_F(RequestFlowTest, ResubmissionsAreBounded) {
  RequestFlow& flow = MakeSubmitted({.resubmissions_max = 2});
  for (int32_t attempt = 0; attempt < 2; ++attempt) {
    flow.OnLost({0, attempt}, kNow, actions_);
    flow.OnPlaced(kZero, kSecond, actions_);
  }
  Take();
  flow.OnLost({0, 2}, kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("failed worker_lost"));
  EXPECT_EQ(flow.resubmissions(), 2);
}

TEST_F(RequestFlowTest, WaitsForAReplicaAndAsksAgainAtEachTick) {
  RequestFlow& flow = Make();
  flow.Start(kNow, actions_);
  flow.OnMustWait(kZero);
  Take();
  flow.Tick(kNow + absl::Milliseconds(50), actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0"));
  EXPECT_EQ(flow.asked(0), kNow);
  flow.OnMustWait(kZero);
  flow.Tick(kNow + absl::Milliseconds(100), actions_);
  flow.OnPlaced(kZero, kFirst, actions_);
  EXPECT_THAT(Take(), ElementsAre("choose 0", "submit 0.0 to 0 seed 0"));
  flow.Tick(kNow + absl::Milliseconds(150), actions_);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(RequestFlowTest, ALongPromptIsNotResumable) {
  RequestFlow& flow = MakeSubmitted({.prompt_bytes = 1001});
  EXPECT_FALSE(flow.resumable());
  EXPECT_EQ(budget_.bytes_used(), 0);
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("failed worker_lost"));
}

TEST_F(RequestFlowTest, AnAnswerOverTheBudgetStopsBeingResumableAndGoesOn) {
  RequestFlow& flow = MakeSpeaking({.prompt_bytes = 900});
  EXPECT_EQ(budget_.bytes_used(), 908);
  flow.OnDelta({0, 0}, {"much"}, Tokens(24), actions_);
  EXPECT_FALSE(flow.resumable());
  EXPECT_EQ(budget_.bytes_used(), 0);
  EXPECT_THAT(Take(), ElementsAre("delta 0 'much' 24"));
  flow.OnLost({0, 0}, kNow, actions_);
  EXPECT_THAT(Take(), ElementsAre("failed worker_lost"));
}

// Found by the simulation: choice 0 was resubmitted without its tokens when choice 1 spent the
// budget meanwhile, and said everything twice.
TEST_F(RequestFlowTest, AChoiceBetweenTwoWorkersFailsWithTheBudget) {
  RequestFlow& flow = MakeSubmitted({.choices = 2, .prompt_bytes = 900});
  for (int32_t i = 0; i < 2; ++i) flow.OnAccepted({i, 0}, 5, actions_);
  for (int32_t i = 0; i < 2; ++i) flow.OnStarted({i, 0}, 0, actions_);
  flow.OnDelta({0, 0}, {"Hi"}, Tokens(2), actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  flow.OnMustWait(kZero);
  Take();
  flow.OnDelta({1, 0}, {"much"}, Tokens(24), actions_);
  EXPECT_THAT(Take(), ElementsAre("cancel 1.0 on 0", "failed worker_lost"));
}

TEST_F(RequestFlowTest, TheBudgetIsSharedAndGivenBack) {
  {
    RequestFlow other({.prompt_bytes = 600}, budget_);
    FlowActions ignored;
    other.Start(kNow, ignored);
    EXPECT_FALSE(MakeSubmitted({.prompt_bytes = 600}).resumable());
  }
  EXPECT_EQ(budget_.bytes_used(), 0);
  EXPECT_TRUE(MakeSubmitted({.prompt_bytes = 600}).resumable());
}

TEST_F(RequestFlowTest, AFinishedChoiceKeepsNoTokens) {
  RequestFlow& flow = MakeSubmitted({.choices = 2});
  for (int32_t i = 0; i < 2; ++i) flow.OnAccepted({i, 0}, 5, actions_);
  flow.OnStarted({0, 0}, 0, actions_);
  flow.OnDelta({0, 0}, {"x"}, Tokens(100), actions_);
  EXPECT_EQ(budget_.bytes_used(), 400);
  flow.OnFinished({0, 0}, FinishReason::kStop, {5, 0, 100}, actions_);
  EXPECT_EQ(budget_.bytes_used(), 0);
}

TEST_F(RequestFlowTest, IgnoresAndCountsWhatDoesntFit) {
  RequestFlow& flow = MakeSubmitted();
  flow.OnStarted({0, 0}, 0, actions_);                         // before Accepted
  flow.OnDelta({0, 0}, {"x"}, Tokens(1), actions_);            // before Started
  flow.OnFinished({0, 0}, FinishReason::kStop, {}, actions_);  // before Started
  flow.OnAccepted({1, 0}, 5, actions_);                        // no such choice
  flow.OnAccepted({-1, 0}, 5, actions_);                       // nor that
  flow.OnAccepted({0, 1}, 5, actions_);                        // a later attempt
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(flow.ignored_events(), 6);
  flow.OnAccepted({0, 0}, 5, actions_);
  flow.OnAccepted({0, 0}, 5, actions_);  // twice
  flow.OnStarted({0, 0}, 0, actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  Take();
  flow.OnDelta({0, 0}, {"late"}, Tokens(1), actions_);  // of the lost attempt
  flow.OnFailed({0, 1}, Error(absl::StatusCode::kInternal, ""), kNow, actions_);  // not placed
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(flow.ignored_events(), 9);
  EXPECT_FALSE(flow.ended());
}

TEST_F(RequestFlowTest, NothingFollowsTheEnd) {
  RequestFlow& flow = MakeSpeaking();
  flow.OnFinished({0, 0}, FinishReason::kStop, {}, actions_);
  Take();
  flow.OnDelta({0, 0}, {"x"}, Tokens(1), actions_);
  flow.OnFinished({0, 0}, FinishReason::kStop, {}, actions_);
  flow.OnLost({0, 0}, kNow, actions_);
  flow.Fail(Error(absl::StatusCode::kInternal, "internal"), actions_);
  flow.Cancel(actions_);
  EXPECT_THAT(Take(), IsEmpty());
}

}  // namespace
}  // namespace spillway
