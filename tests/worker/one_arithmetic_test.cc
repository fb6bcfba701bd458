// One arithmetic, end to end (docs/decisions/0002-one-arithmetic.md): through the scheduler, the
// engine loop and the CPU executor, every way of running a request gives the same bits. What is
// compared is each token with the log-probability of every token of the vocabulary: what the whole
// row of logits says, not only which of them was the largest.

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/engine_runs.h"
#include "tests/worker/model/tiny_model.h"

namespace spillway {
namespace {

constexpr int32_t kVocabulary = 101;
constexpr int32_t kSequenceTokens = 400;

EngineRequest Request(std::vector<TokenId> prompt, uint64_t seed, int32_t new_tokens = 12) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.new_tokens_max = new_tokens;
  request.ignore_end_of_text = true;
  request.sampling.seed = seed;
  request.sampling.top_p = 0.95f;
  request.sampling.repetition_penalty = 1.2f;
  request.sampling.frequency_penalty = 0.3f;
  request.sampling.top_logprobs = kVocabulary;  // beyond what clients may ask for
  return request;
}

// Six requests: short and long ones, two of them with a long prefix in common, one that crosses a
// split of attention, one whose prompt is scored.
std::vector<EngineRequest> Requests() {
  std::mt19937 random(5);
  std::vector<EngineRequest> requests;
  for (const int32_t size : {3, 40, 41, 100, 300, 33}) {
    std::vector<TokenId> prompt;
    for (int32_t i = 0; i < size; ++i) {
      prompt.push_back(static_cast<TokenId>(random() % kVocabulary));
    }
    requests.push_back(Request(std::move(prompt), requests.size()));
  }
  std::copy_n(requests[1].prompt.begin(), 35, requests[2].prompt.begin());
  requests[5].prompt_top_logprobs = kVocabulary;
  requests[4].new_tokens_max = 40;
  return requests;
}

// What runs are held against: each request alone, one thread, whole prompts, nothing cached.
std::vector<EngineRun> EachAlone(const TinyModel& model,
                                 const std::vector<EngineRequest>& requests) {
  std::vector<EngineRun> alone;
  for (const EngineRequest& request : requests) {
    EngineRuns engine(model.spec(), model.file(), {.prefix_cache = false}, kSequenceTokens);
    alone.push_back(engine.Run({request}).front());
  }
  return alone;
}

const std::vector<EngineRun>& Alone() {
  static const std::vector<EngineRun> runs = EachAlone(TinyModel(), Requests());
  return runs;
}

void ExpectSameBits(const std::vector<EngineRun>& runs, const std::string& way,
                    const std::vector<EngineRun>& expected = Alone()) {
  ASSERT_EQ(runs.size(), expected.size()) << way;
  for (size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(runs[i].tokens, expected[i].tokens) << way << ", request " << i;
    EXPECT_EQ(runs[i].output, expected[i].output) << way << ", request " << i;
    EXPECT_EQ(runs[i].prompt, expected[i].prompt) << way << ", request " << i;
  }
}

std::vector<EngineRun> RunAll(const EngineWay& way) {
  const TinyModel model;
  EngineRuns engine(model.spec(), model.file(), way, kSequenceTokens);
  return engine.Run(Requests());
}

TEST(OneArithmeticTest, TheRunsAreWhatTheyShouldBe) {
  for (const EngineRun& run : Alone()) EXPECT_EQ(run.output.size(), run.tokens.size());
  EXPECT_EQ(Alone()[5].prompt.size(), 32u);
  EXPECT_EQ(Alone()[5].prompt[0].size(), 3u + 2 * kVocabulary);
  EXPECT_EQ(Alone()[4].tokens.size(), 40u);
}

TEST(OneArithmeticTest, AnyBatchIsAsAlone) {
  ExpectSameBits(RunAll({}), "together");
  ExpectSameBits(RunAll({.running_max = 2}), "two at a time");
  ExpectSameBits(RunAll({.turns_between_arrivals = 3}), "one after another");
}

TEST(OneArithmeticTest, AnyNumberOfThreads) {
  // Few steps: where others use the cores, a team's barriers take milliseconds each.
  std::vector<EngineRequest> requests = {Requests()[1], Requests()[4], Requests()[5]};
  for (EngineRequest& request : requests) request.new_tokens_max = 3;
  const TinyModel model;
  const std::vector<EngineRun> expected = EachAlone(model, requests);
  for (const int32_t threads : {2, 3, 4}) {
    EngineRuns engine(model.spec(), model.file(), {.threads = threads}, kSequenceTokens);
    ExpectSameBits(engine.Run(requests), std::to_string(threads) + " threads", expected);
  }
}

TEST(OneArithmeticTest, AnyChunking) {
  for (const int32_t step_tokens : {4, 7, 16, 33, 100}) {
    ExpectSameBits(RunAll({.step_tokens = step_tokens, .turns_between_arrivals = 2}),
                   "steps of " + std::to_string(step_tokens));
  }
}

TEST(OneArithmeticTest, AnyInstructionSet) {
  for (const CpuIsa isa : SupportedCpuIsas()) {
    ExpectSameBits(RunAll({.isa = isa}), std::string(CpuIsaName(isa)));
  }
}

TEST(OneArithmeticTest, WithAndWithoutThePrefixCache) {
  const TinyModel model;
  EngineRuns engine(model.spec(), model.file(), {}, kSequenceTokens);
  ExpectSameBits(engine.Run(Requests()), "first time");
  const std::vector<EngineRun> again = engine.Run(Requests());
  EXPECT_EQ(again[4].cached_tokens, 288);
  EXPECT_EQ(again[5].cached_tokens, 0);  // its prompt is scored
  ExpectSameBits(again, "from the cache");
  ExpectSameBits(RunAll({.prefix_cache = false}), "no cache");
}

TEST(OneArithmeticTest, AfterPreemptions) {
  const TinyModel model;
  std::vector<EngineRequest> requests = Requests();
  for (EngineRequest& request : requests) {
    request.prompt.resize(30, 7);
    request.new_tokens_max = 120;
  }
  const std::vector<EngineRun> expected = EachAlone(model, requests);
  for (const bool prefix_cache : {true, false}) {
    // Four of them run at once, and end with ten blocks each.
    EngineRuns engine(model.spec(), model.file(),
                      {.step_tokens = 64, .block_count = 25, .prefix_cache = prefix_cache},
                      kSequenceTokens);
    ExpectSameBits(engine.Run(requests), "preempted", expected);
    EXPECT_GT(engine.preemptions(), 0u);
  }
}

TEST(OneArithmeticTest, PrefillIsDecode) {
  const TinyModel model;
  std::vector<EngineRequest> requests = Requests();
  for (size_t i = 0; i < requests.size(); ++i) {
    // What was decoded is now a prompt: each of its tokens is scored as it was sampled.
    EngineRequest whole = Request(requests[i].prompt, /*seed=*/0, /*new_tokens=*/1);
    const std::vector<TokenId>& output = Alone()[i].tokens;
    whole.prompt.insert(whole.prompt.end(), output.begin(), output.end());
    whole.prompt_top_logprobs = kVocabulary;
    EngineRuns engine(model.spec(), model.file(), {.step_tokens = 50}, kSequenceTokens);
    const EngineRun run = engine.Run({whole}).front();
    ASSERT_EQ(run.prompt.size(), whole.prompt.size() - 1);
    const auto begin = run.prompt.end() - static_cast<ptrdiff_t>(output.size());
    EXPECT_EQ(std::vector<TokenBits>(begin, run.prompt.end()), Alone()[i].output) << i;
  }
}

TEST(OneArithmeticTest, AResumeGoesOnAsIfNothingHadHappened) {
  const TinyModel model;
  const std::vector<EngineRequest> requests = Requests();
  for (const size_t i : {1u, 4u}) {
    for (const size_t told : {1u, 7u, 11u}) {
      EngineRequest request = requests[i];
      const std::vector<TokenId>& output = Alone()[i].tokens;
      request.resumed.assign(output.begin(), output.begin() + static_cast<ptrdiff_t>(told));
      EngineRuns engine(model.spec(), model.file(), {}, kSequenceTokens);
      const EngineRun run = engine.Run({request}).front();
      const auto rest = Alone()[i].output.begin() + static_cast<ptrdiff_t>(told);
      EXPECT_EQ(run.output, std::vector<TokenBits>(rest, Alone()[i].output.end()));
    }
  }
}

TEST(OneArithmeticTest, EveryFormatOfWeightsHasIt) {
  for (int32_t format = 0; format < kWeightFormatCount; ++format) {
    const auto weights = static_cast<WeightFormat>(format);
    const TinyModel model({weights, weights, weights, weights, weights});
    const std::vector<EngineRequest> requests = {Requests()[1], Requests()[2]};
    const auto run = [&](const EngineWay& way) {
      std::vector<std::vector<TokenBits>> bits;
      EngineRuns engine(model.spec(), model.file(), way, kSequenceTokens);
      for (const EngineRun& one : engine.Run(requests)) bits.push_back(one.output);
      return bits;
    };
    const auto expected = run({});
    EXPECT_EQ(run({.step_tokens = 9}), expected) << format;
    for (const CpuIsa isa : SupportedCpuIsas()) {
      EXPECT_EQ(run({.isa = isa}), expected) << format << " " << CpuIsaName(isa);
    }
  }
}

}  // namespace
}  // namespace spillway
