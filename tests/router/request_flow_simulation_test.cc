// Simulation: one request after another against workers that are only memories.
//
// A worker here knows the whole text that a choice must say (a function of its seed) and says it in
// random pieces, holding random amounts back, as the real one does; it may refuse, lose everything,
// say things twice or out of order, and the client may cancel or run out of time at any moment.
// Whatever happens, ClientOracle holds the flow to the grammar of ResponseSink and, when a choice
// finishes, to its exact text.
//
// A failure prints its seed; rerun it with --gtest_filter=*/<seed>.

#include <map>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "router/request_flow.h"

namespace spillway {
namespace {

constexpr int32_t kPromptTokens = 9;

// Token i of a choice is one to three characters of text. The text depends on the seed alone.
std::string TokenText(uint64_t seed, int32_t index) {
  const uint64_t mixed =
      (seed + 1) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(index) * 0x94d049bbu;
  return std::string(1 + mixed % 3, static_cast<char>('a' + (mixed >> 20) % 26));
}
int32_t AnswerTokens(uint64_t seed) { return static_cast<int32_t>(seed * 7 % 23); }
std::string Text(uint64_t seed, int32_t tokens) {
  std::string text;
  for (int32_t i = 0; i < tokens; ++i) text += TokenText(seed, i);
  return text;
}

// The first tokens of some choices are of their reasoning.
int32_t ReasoningTokens(uint64_t seed) {
  return std::min(static_cast<int32_t>(seed * 3 % 8), AnswerTokens(seed));
}
std::string Reasoning(uint64_t seed, int32_t tokens) {
  return Text(seed, std::min(tokens, ReasoningTokens(seed)));
}
std::string Content(uint64_t seed, int32_t tokens) {
  return Text(seed, tokens).substr(Reasoning(seed, tokens).size());
}

class ClientOracle {
 public:
  ClientOracle(int32_t choices, uint64_t seed)
      : seed_(seed),
        texts_(static_cast<size_t>(choices)),
        reasonings_(texts_.size()),
        logprobs_(texts_.size()),
        finished_(texts_.size()) {}

  void Accepted(int32_t prompt_tokens) {
    ASSERT_FALSE(accepted_ || over_);
    ASSERT_EQ(prompt_tokens, kPromptTokens);
    accepted_ = true;
  }
  void Started() {
    ASSERT_TRUE(accepted_ && !started_ && !over_);
    started_ = true;
  }
  void Delta(const EmitDeltaAction& delta) {
    ASSERT_TRUE(started_ && !over_);
    ASSERT_FALSE(finished_.at(delta.choice));
    ASSERT_FALSE(delta.output.content.empty() && delta.output.reasoning.empty());
    texts_.at(delta.choice) += delta.output.content;
    reasonings_.at(delta.choice) += delta.output.reasoning;
    // At any moment the client has the logprobs of the tokens whose text has begun, in order.
    const uint64_t seed = seed_ + static_cast<uint64_t>(delta.choice);
    const int32_t reasoning_tokens = ReasoningTokens(seed);
    int32_t& told = logprobs_.at(delta.choice);
    for (const TokenLogprobs& logprobs : delta.output.logprobs) {
      ASSERT_EQ(logprobs.token.token_id, reasoning_tokens + told);
      ++told;
    }
    // At any moment the client has an unbroken beginning.
    const int32_t total = AnswerTokens(seed);
    const std::string& text = texts_.at(delta.choice);
    ASSERT_TRUE(Content(seed, total).starts_with(text));
    ASSERT_TRUE(Reasoning(seed, total).starts_with(reasonings_.at(delta.choice)));
    ASSERT_TRUE(text.empty() || reasonings_.at(delta.choice) == Reasoning(seed, total));
    ASSERT_GE(Content(seed, reasoning_tokens + told).size(), text.size());
    ASSERT_TRUE(told == 0 || Content(seed, reasoning_tokens + told - 1).size() < text.size());
  }
  void Finished(const EmitFinishedAction& finished) {
    ASSERT_TRUE(started_ && !over_);
    ASSERT_FALSE(finished_.at(finished.choice));
    finished_.at(finished.choice) = true;
    const uint64_t seed = seed_ + static_cast<uint64_t>(finished.choice);
    ASSERT_EQ(texts_.at(finished.choice), Content(seed, AnswerTokens(seed)));
    ASSERT_EQ(reasonings_.at(finished.choice), Reasoning(seed, AnswerTokens(seed)));
    ASSERT_EQ(finished.usage.completion_tokens, AnswerTokens(seed));
    over_ = std::find(finished_.begin(), finished_.end(), false) == finished_.end();
  }
  void Over() {
    ASSERT_FALSE(over_);
    over_ = true;
  }
  bool over() const { return over_; }

 private:
  const uint64_t seed_;
  std::vector<std::string> texts_;
  std::vector<std::string> reasonings_;
  std::vector<int32_t> logprobs_;  // how many of each choice were told
  std::vector<bool> finished_;
  bool accepted_ = false;
  bool started_ = false;
  bool over_ = false;
};

// What a worker knows of one sequence.
struct Sequence {
  SequenceRef ref;
  ReplicaKey replica;
  uint64_t seed = 0;
  int32_t tokens = 0;        // sampled, those of the resume included
  size_t content_bytes = 0;  // sent, those of the resume included
  size_t reasoning_bytes = 0;
  int stage = 0;  // 0 submitted, 1 accepted, 2 started
};

struct Totals {
  int finished = 0;
  int failed = 0;
  int cancelled = 0;
  int resumes = 0;
  int64_t ignored = 0;
};

class Simulation {
 public:
  explicit Simulation(int seed) : rng_(static_cast<uint64_t>(seed)) {}

  void Run(Totals& totals) {
    for (int i = 0; i < 40; ++i) {
      ASSERT_NO_FATAL_FAILURE(RunRequest(totals)) << "request " << i;
      ASSERT_EQ(budget_.bytes_used(), 0);
    }
  }

 private:
  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng_); }
  bool OneIn(int n) { return Uniform(1, n) == 1; }

  void RunRequest(Totals& totals) {
    const int32_t choices = Uniform(1, 3);
    const auto seed = static_cast<uint64_t>(Uniform(0, 1000));
    const int32_t resubmissions_max = Uniform(0, 4);
    const bool calm = OneIn(3);  // nothing goes wrong but losses
    sequences_.clear();
    submits_.clear();
    now_ += absl::Seconds(1);
    const absl::Time deadline =
        OneIn(4) ? now_ + absl::Milliseconds(Uniform(1, 300)) : absl::InfiniteFuture();
    RequestFlow flow({.choices = choices,
                      .seed = seed,
                      .deadline = deadline,
                      .prompt_bytes = static_cast<size_t>(Uniform(0, 120)),
                      .resubmissions_max = resubmissions_max},
                     budget_);
    ClientOracle client(choices, seed);
    bool cancelled = false;
    bool failed = false;
    FlowActions actions;
    flow.Start(now_, actions);
    for (int step = 0; step < 3000; ++step) {
      ASSERT_NO_FATAL_FAILURE(CarryOut(flow, client, actions, failed));
      ASSERT_EQ(flow.ended(), client.over());
      for (const auto& [choice, count] : submits_) ASSERT_LE(count, resubmissions_max + 1);
      if (flow.ended()) break;
      now_ += absl::Milliseconds(Uniform(0, 5));
      if (!calm && OneIn(300)) {
        flow.Cancel(actions);
        cancelled = true;
        client.Over();
      } else if (OneIn(5)) {
        flow.Tick(now_, actions);
      } else {
        Event(flow, calm, actions);
      }
    }
    ASSERT_TRUE(flow.ended()) << "it never ended";
    ASSERT_TRUE(sequences_.empty()) << "a worker was left running";
    // The dead stay dead, whatever still arrives.
    const int64_t ignored = flow.ignored_events();
    Nonsense(flow, actions);
    flow.Tick(absl::InfiniteFuture(), actions);
    flow.Cancel(actions);
    ASSERT_TRUE(actions.empty());
    ASSERT_GT(flow.ignored_events(), ignored);
    totals.cancelled += cancelled;
    totals.failed += failed;
    totals.finished += !cancelled && !failed;
    totals.resumes += flow.resumes();
    totals.ignored += flow.ignored_events();
  }

  // Does what the flow asks for, in order, as the shard does.
  void CarryOut(RequestFlow& flow, ClientOracle& client, FlowActions& actions, bool& failed) {
    for (size_t i = 0; i < actions.size(); ++i) {
      const FlowAction action = actions[i];
      if (const auto* choose = std::get_if<ChooseReplicaAction>(&action)) {
        Choose(flow, *choose, actions);
      } else if (const auto* submit = std::get_if<SubmitAction>(&action)) {
        ++submits_[submit->sequence.choice];
        const auto tokens = flow.resumed_token_ids(submit->sequence.choice);
        sequences_[submit->sequence.choice] = {
            .ref = submit->sequence,
            .replica = submit->replica,
            .seed = submit->seed,
            .tokens = static_cast<int32_t>(tokens.size()),
            .content_bytes = flow.content_bytes(submit->sequence.choice),
            .reasoning_bytes = flow.reasoning_bytes(submit->sequence.choice)};
      } else if (const auto* cancel = std::get_if<CancelSequenceAction>(&action)) {
        const auto found = sequences_.find(cancel->sequence.choice);
        ASSERT_TRUE(found != sequences_.end()) << "cancels what no worker has";
        ASSERT_EQ(found->second.ref, cancel->sequence);
        ASSERT_EQ(found->second.replica, cancel->replica);
        sequences_.erase(found);
      } else if (const auto* accepted = std::get_if<EmitAcceptedAction>(&action)) {
        ASSERT_NO_FATAL_FAILURE(client.Accepted(accepted->prompt_tokens));
      } else if (std::holds_alternative<EmitStartedAction>(action)) {
        ASSERT_NO_FATAL_FAILURE(client.Started());
      } else if (const auto* delta = std::get_if<EmitDeltaAction>(&action)) {
        ASSERT_NO_FATAL_FAILURE(client.Delta(*delta));
      } else if (const auto* finished = std::get_if<EmitFinishedAction>(&action)) {
        ASSERT_NO_FATAL_FAILURE(client.Finished(*finished));
      } else {
        ASSERT_NO_FATAL_FAILURE(client.Over());
        failed = true;
      }
    }
    actions.clear();
  }

  void Choose(RequestFlow& flow, const ChooseReplicaAction& choose, FlowActions& actions) {
    if (flow.ended()) return;
    if (OneIn(6)) {
      flow.OnMustWait(choose.choices);
    } else if (OneIn(12)) {
      flow.OnNotPlaced(choose.choices,
                       {.status = absl::UnavailableError(""), .reason = "no_ready_replica"},
                       actions);
    } else {
      // Not one that this choice lost.
      ReplicaKey replica = {ReplicaId{Uniform(0, 2)}, 0};
      for (const ReplicaKey& excluded : flow.excluded(choose.choices.front())) {
        if (excluded.id == replica.id) replica.attachment = excluded.attachment + 1;
      }
      flow.OnPlaced(choose.choices, replica, actions);
    }
  }

  // One thing that some worker does.
  void Event(RequestFlow& flow, bool calm, FlowActions& actions) {
    if (!calm && OneIn(20)) Nonsense(flow, actions);
    if (sequences_.empty()) return;
    auto next = sequences_.begin();
    std::advance(next, Uniform(0, static_cast<int>(sequences_.size()) - 1));
    Sequence& sequence = next->second;
    const SequenceRef ref = sequence.ref;
    if (OneIn(25)) {
      sequences_.erase(next);
      flow.OnLost(ref, now_, actions);
    } else if (!calm && OneIn(60)) {
      sequences_.erase(next);
      const absl::StatusCode code =
          std::array{absl::StatusCode::kResourceExhausted, absl::StatusCode::kInvalidArgument,
                     absl::StatusCode::kCancelled}[static_cast<size_t>(Uniform(0, 2))];
      flow.OnFailed(ref, {.status = absl::Status(code, ""), .reason = "queue_full"}, now_, actions);
    } else if (sequence.stage == 0) {
      sequence.stage = 1;
      flow.OnAccepted(ref, kPromptTokens, actions);
    } else if (sequence.stage == 1) {
      sequence.stage = 2;
      flow.OnStarted(ref, Uniform(0, kPromptTokens), actions);
    } else {
      Generate(flow, next, actions);
    }
  }

  // Some tokens, with some of their text held back; or the end.
  void Generate(RequestFlow& flow, std::map<int32_t, Sequence>::iterator at, FlowActions& actions) {
    Sequence& sequence = at->second;
    const int32_t total = AnswerTokens(sequence.seed);
    const int32_t count = std::min(Uniform(0, 3), total - sequence.tokens);
    std::vector<int32_t> tokens;
    OutputDelta delta;
    for (int32_t i = sequence.tokens; i < sequence.tokens + count; ++i) {
      tokens.push_back(i);
      delta.logprobs.push_back(
          {.token = {.token_id = i}, .content_begin = Content(sequence.seed, i).size()});
    }
    sequence.tokens += count;
    const bool finishes = sequence.tokens == total && OneIn(2);
    const auto send = [&](const std::string& text, size_t& sent) {
      const size_t unsent = text.size() - sent;
      const size_t now =
          finishes ? unsent : static_cast<size_t>(Uniform(0, static_cast<int>(unsent)));
      return text.substr(std::exchange(sent, sent + now), now);
    };
    const SequenceRef ref = sequence.ref;
    const int32_t reasoning_tokens = ReasoningTokens(sequence.seed);
    const std::string reasoning = Reasoning(sequence.seed, sequence.tokens);
    delta.reasoning = send(reasoning, sequence.reasoning_bytes);
    if (sequence.reasoning_bytes == reasoning.size() && sequence.tokens >= reasoning_tokens) {
      delta.content = send(Content(sequence.seed, sequence.tokens), sequence.content_bytes);
    }
    // Which channel a token is in may be known late, but is with the first content.
    const int32_t known = std::min(sequence.tokens, reasoning_tokens);
    delta.reasoning_tokens = sequence.content_bytes > 0 ? known : Uniform(0, known);
    flow.OnDelta(ref, std::move(delta), tokens, actions);
    if (finishes && !flow.ended()) {
      sequences_.erase(at);
      flow.OnFinished(ref, FinishReason::kStop,
                      {.prompt_tokens = kPromptTokens, .completion_tokens = total}, actions);
    }
  }

  // What no sane worker says: of choices that don't exist, of attempts long gone.
  void Nonsense(RequestFlow& flow, FlowActions& actions) {
    const std::vector<int32_t> tokens = {1, 2};
    for (const SequenceRef ref :
         {SequenceRef{7, 0}, SequenceRef{-1, 0}, SequenceRef{0, 99}, SequenceRef{0, -1}}) {
      flow.OnAccepted(ref, 1, actions);
      flow.OnStarted(ref, 1, actions);
      flow.OnDelta(ref, {"nonsense"}, tokens, actions);
      flow.OnFinished(ref, FinishReason::kStop, {}, actions);
      flow.OnLost(ref, now_, actions);
    }
  }

  std::mt19937_64 rng_;
  ResumeBudget budget_{150};
  absl::Time now_ = absl::UnixEpoch();
  std::map<int32_t, Sequence> sequences_;  // by choice: those that a worker has
  std::map<int32_t, int> submits_;
};

class RequestFlowSimulation : public ::testing::TestWithParam<int> {};

TEST_P(RequestFlowSimulation, TheClientGetsTheWholeTextOrOneClearEnd) {
  Totals totals;
  Simulation(GetParam()).Run(totals);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RequestFlowSimulation, ::testing::Range(0, 300));

// The simulation means something only if it reaches what it is about.
TEST(RequestFlowSimulationCoverage, ReachesEveryKindOfEnd) {
  Totals totals;
  for (int seed = 0; seed < 20; ++seed) Simulation(seed).Run(totals);
  EXPECT_GT(totals.finished, 100);
  EXPECT_GT(totals.failed, 100);
  EXPECT_GT(totals.cancelled, 10);
  EXPECT_GT(totals.resumes, 100);
  EXPECT_GT(totals.ignored, 1000);
}

}  // namespace
}  // namespace spillway
