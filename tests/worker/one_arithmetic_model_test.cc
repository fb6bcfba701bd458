// One arithmetic with the default model: what one_arithmetic_test.cc shows on a tiny one, and that
// the bits are those that they have always been. Needs the model file; skips without it.

#include <bit>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/engine_runs.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/numerics.h"
#include "worker/model/decoder.h"
#include "worker/model/gguf.h"

namespace spillway {
namespace {

constexpr int32_t kSequenceTokens = 256;

class OneArithmeticModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "half an hour under ThreadSanitizer; tiny models have the same threads";
#endif
    const char* const set = std::getenv("SPILLWAY_TEST_MODEL");
    const std::string path =
        set != nullptr ? set : SPILLWAY_SOURCE_DIR "/build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << "no model at " << path << "; set SPILLWAY_TEST_MODEL to run this";
    }
    is_default_ = set == nullptr;
    file_ = *GgufFile::Open(path);
    spec_ = *ModelSpecFromGguf(*file_);
  }

  std::vector<EngineRequest> Requests() const {
    std::mt19937 random(11);
    std::vector<EngineRequest> requests;
    for (const int32_t size : {20, 120, 125, 60}) {
      EngineRequest& request = requests.emplace_back();
      for (int32_t i = 0; i < size; ++i) {
        request.prompt.push_back(static_cast<TokenId>(random() % 20'000));
      }
      request.new_tokens_max = 4;
      request.ignore_end_of_text = true;
      request.sampling.seed = requests.size();
      request.sampling.top_logprobs = 20;
    }
    std::copy_n(requests[1].prompt.begin(), 100, requests[2].prompt.begin());
    requests[3].prompt_top_logprobs = 20;
    return requests;
  }

  EngineRuns Engine(const EngineWay& way) const {
    return EngineRuns(spec_, *file_, way, kSequenceTokens);
  }

  // Each alone, one thread, whole prompts, nothing cached.
  std::vector<EngineRun> Alone(const std::vector<EngineRequest>& requests) const {
    EngineRuns engine = Engine({.prefix_cache = false});
    std::vector<EngineRun> runs;
    for (const EngineRequest& request : requests) {
      runs.push_back(engine.Run({request}).front());
    }
    return runs;
  }

  static void ExpectSameBits(const std::vector<EngineRun>& runs,
                             const std::vector<EngineRun>& expected) {
    ASSERT_EQ(runs.size(), expected.size());
    for (size_t i = 0; i < runs.size(); ++i) {
      EXPECT_EQ(runs[i].tokens, expected[i].tokens) << i;
      EXPECT_EQ(runs[i].output, expected[i].output) << i;
      EXPECT_EQ(runs[i].prompt, expected[i].prompt) << i;
    }
  }

  bool is_default_ = true;
  std::unique_ptr<GgufFile> file_;
  ModelSpec spec_;
};

TEST_F(OneArithmeticModelTest, EveryWayOfRunningItGivesTheSameBits) {
  const std::vector<EngineRun> alone = Alone(Requests());
  {
    SCOPED_TRACE("together");
    ExpectSameBits(Engine({}).Run(Requests()), alone);
  }
  {
    SCOPED_TRACE("in chunks, arriving one after another");
    const EngineWay way = {.step_tokens = 33, .turns_between_arrivals = 2};
    ExpectSameBits(Engine(way).Run(Requests()), alone);
  }
  {
    SCOPED_TRACE("from the prefix cache");
    EngineRuns engine = Engine({});
    engine.Run({Requests()[1]});
    const std::vector<EngineRun> runs = engine.Run(Requests());
    EXPECT_EQ(runs[2].cached_tokens, 96);
    ExpectSameBits(runs, alone);
  }
}

TEST_F(OneArithmeticModelTest, AfterPreemptions) {
  std::vector<EngineRequest> requests = Requests();
  for (EngineRequest& request : requests) {
    request.prompt.resize(20);
    request.new_tokens_max = 50;
  }
  const std::vector<EngineRun> alone = Alone(requests);
  // All four run at once, and end with five blocks each.
  EngineRuns engine = Engine({.block_count = 17});
  ExpectSameBits(engine.Run(requests), alone);
  EXPECT_GT(engine.preemptions(), 0u);
}

TEST_F(OneArithmeticModelTest, AnyNumberOfThreadsGivesTheSameBits) {
  // Few steps: where others use the cores, a team's barriers take milliseconds each.
  EngineRequest request = Requests()[0];
  request.new_tokens_max = 3;
  const EngineRun alone = Engine({}).Run({request}).front();
  for (const int32_t threads : {2, 3, 4}) {
    ExpectSameBits(Engine({.threads = threads}).Run({request}), {alone});
  }
}

TEST_F(OneArithmeticModelTest, PrefillIsDecode) {
  EngineRequest request = Requests()[1];
  EngineRuns engine = Engine({});
  const EngineRun decoded = engine.Run({request}).front();
  request.prompt.insert(request.prompt.end(), decoded.tokens.begin(), decoded.tokens.end());
  request.prompt_top_logprobs = 20;
  request.new_tokens_max = 1;
  const EngineRun read = engine.Run({request}).front();
  EXPECT_EQ(std::vector<TokenBits>(read.prompt.end() - 4, read.prompt.end()), decoded.output);
}

TEST_F(OneArithmeticModelTest, EveryInstructionSetGivesTheSameBits) {
  EngineRequest request = Requests()[0];
  request.new_tokens_max = 3;
  std::vector<std::vector<TokenBits>> outputs;
  for (const CpuIsa isa : SupportedCpuIsas()) {
    outputs.push_back(Engine({.isa = isa}).Run({request}).front().output);
    EXPECT_EQ(outputs.back(), outputs.front()) << CpuIsaName(isa);
  }
}

// FNV-1a of the bits of some logits. They are a promise: a worker with the same numerics id
// elsewhere, or of an earlier version, has the same. If this fails, bump kArithmeticVersion
// (worker/kernels/numerics.h) and put the new version and hash here, or find out why this machine
// computes otherwise.
constexpr int32_t kGoldenVersion = 1;
constexpr uint64_t kGoldenHash = 0x6522fb5713fc271f;

TEST_F(OneArithmeticModelTest, TheBitsAreThoseOfTheArithmeticsVersion) {
  if (!is_default_) GTEST_SKIP() << "another model";
  ThreadTeam team(1);
  const auto weights = ModelWeights::Load(spec_, *file_, team);
  auto cache = KvCache::Allocate(spec_, 16);
  const auto decoder =
      Decoder::Make(spec_, *weights, {.tokens_max = 128, .slices_max = 1, .positions_max = 256},
                    *cache, team, CpuKernelsFor(SupportedCpuIsas().back()));
  std::vector<int32_t> blocks;
  for (int32_t i = 0; i < 8; ++i) blocks.push_back(i);
  const std::vector<TokenId> tokens = Requests()[1].prompt;
  const DecoderSlice slice = {.begin = 0, .tokens = tokens, .blocks = blocks, .logits = true};
  (*decoder)->Forward({&slice, 1});
  uint64_t hash = 0xcbf29ce484222325;
  for (const float logit : (*decoder)->logits(0)) {
    hash = (hash ^ std::bit_cast<uint32_t>(logit)) * 0x100000001b3;
  }
  EXPECT_EQ(kArithmeticVersion, kGoldenVersion);
  EXPECT_EQ(hash, kGoldenHash) << std::hex << "0x" << hash;
}

}  // namespace
}  // namespace spillway
