// How memory is used, and what is said where it doesn't suffice.

#include "worker/cpu_memory.h"

#include <unistd.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/model/tiny_model.h"
#include "worker/cpu_executor.h"
#include "worker/device/thread_team.h"
#include "worker/model/kv_cache.h"
#include "worker/model/weights.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;

// The sizes of Llama 3.1 8B: 2 MiB of KV a block of 16 tokens.
ModelSpec Large() {
  ModelSpec spec;
  spec.name = "large";
  spec.vocabulary_size = 128'256;
  spec.hidden_size = 4096;
  spec.layer_count = 32;
  spec.head_count = 32;
  spec.kv_head_count = 8;
  spec.head_size = 128;
  spec.rope_size = 128;
  spec.intermediate_size = 14'336;
  spec.context_tokens_max = 131'072;
  return spec;
}
constexpr int64_t kWeights = 5 * kGiB;

CpuMemoryOptions Of(int64_t memory_bytes, int64_t kv_bytes = 0, int32_t sequence_tokens_max = 0) {
  return {.threads = 8,
          .sequence_tokens_max = sequence_tokens_max,
          .kv_bytes = kv_bytes,
          .memory_bytes = memory_bytes,
          .memory_source = "this machine"};
}

std::string Refusal(const CpuMemoryOptions& options, int64_t weights_bytes = kWeights) {
  const absl::Status status = PlanCpuMemory(Large(), weights_bytes, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  return std::string(status.message());
}

TEST(PlanCpuMemoryTest, KvGetsAShareOfWhatIsLeft) {
  const ExecutorShape shape = *PlanCpuMemory(Large(), kWeights, Of(32 * kGiB, 0, 8192));
  const CpuMemoryNeeds needs = CpuMemoryNeedsOf(Large(), kWeights, Of(0), 8192);
  const int64_t left = 32 * kGiB - kWeights - needs.activations_bytes - needs.process_bytes;
  EXPECT_EQ(needs.block_bytes, 2 * kMiB);
  EXPECT_NEAR(static_cast<double>(shape.kv_bytes), 0.8 * static_cast<double>(left),
              static_cast<double>(2 * kMiB));
  EXPECT_EQ(shape.kv_bytes, shape.block_count * needs.block_bytes);
  EXPECT_EQ(shape.sequence_tokens_max, 8192);
}

TEST(PlanCpuMemoryTest, KvGetsNoMoreThanAllSequencesCanNeed) {
  CpuMemoryOptions options = Of(1000 * kGiB, 0, 4096);
  options.running_max = 3;
  EXPECT_EQ(PlanCpuMemory(Large(), kWeights, options)->block_count, 3 * 256);
  options.memory_bytes = 0;  // no limit is known
  EXPECT_EQ(PlanCpuMemory(Large(), kWeights, options)->block_count, 3 * 256);
}

TEST(PlanCpuMemoryTest, TheContextIsCutToTheLongestThatFits) {
  const auto shape = PlanCpuMemory(Large(), kWeights, Of(12 * kGiB));
  ASSERT_TRUE(shape.ok()) << shape.status();
  const int32_t tokens = shape->sequence_tokens_max;
  EXPECT_GT(tokens, 20'000);
  EXPECT_LT(tokens, 131'072);
  EXPECT_EQ(tokens % 16, 0);
  EXPECT_TRUE(PlanCpuMemory(Large(), kWeights, Of(12 * kGiB, 0, tokens)).ok());
  EXPECT_FALSE(PlanCpuMemory(Large(), kWeights, Of(12 * kGiB, 0, tokens + 32)).ok());
  EXPECT_EQ(PlanCpuMemory(Large(), kWeights, Of(100 * kGiB))->sequence_tokens_max, 131'072);
}

TEST(PlanCpuMemoryTest, TheKvMemoryAskedForIsTaken) {
  const auto shape = PlanCpuMemory(Large(), kWeights, Of(32 * kGiB, 4 * kGiB));
  EXPECT_EQ(shape->kv_bytes, 4 * kGiB);
  EXPECT_EQ(shape->sequence_tokens_max, 32'768);
}

TEST(PlanCpuMemoryTest, AModelThatDoesntFitSaysWhatIsMissing) {
  const std::string message = Refusal(Of(4 * kGiB));
  EXPECT_THAT(message, HasSubstr("large needs "));
  EXPECT_THAT(message, HasSubstr("5.0 GiB for weights"));
  EXPECT_THAT(message, HasSubstr("for the KV of one sequence of 2,048 tokens"));
  EXPECT_THAT(message, HasSubstr("There are 4.0 GiB (this machine)"));
  EXPECT_THAT(message, HasSubstr("a smaller model or quantisation"));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("--context")));

  // The sum is right: with what is missing it fits.
  const size_t end = message.find(" GiB are missing");
  const size_t begin = message.rfind(' ', end - 1) + 1;
  const double missing = std::stod(message.substr(begin, end - begin));
  const auto with = [&](double gib) {
    return PlanCpuMemory(Large(), kWeights,
                         Of(4 * kGiB + static_cast<int64_t>(gib * static_cast<double>(kGiB))));
  };
  EXPECT_TRUE(with(missing + 0.05).ok());
  EXPECT_FALSE(with(missing - 0.06).ok());
}

TEST(PlanCpuMemoryTest, WhatWasAskedForTooMuchIsNamed) {
  EXPECT_THAT(Refusal(Of(8 * kGiB, 0, 131'072)), HasSubstr("What helps: a shorter --context"));
  EXPECT_THAT(Refusal(Of(8 * kGiB, 6 * kGiB)), HasSubstr("What helps: less --kv-memory"));
  EXPECT_THAT(Refusal(Of(32 * kGiB, 512 * kMiB, 8192)),
              HasSubstr("the KV memory of 512.0 MiB holds 4,096 tokens; one sequence of 8,192 "
                        "tokens needs 1.0 GiB: 512.0 MiB are missing. What helps: more "
                        "--kv-memory, or a shorter --context"));
  CpuMemoryOptions wide = Of(8 * kGiB, 0, 8192);
  wide.step_tokens_max = 65'536;
  EXPECT_THAT(Refusal(wide), HasSubstr("a lower --step-tokens or --running-max"));
}

// The bytes of address space that this process has.
int64_t AddressSpace() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

TEST(CpuMemoryNeedsTest, CoverWhatAnExecutorMaps) {
  const TinyModel model;
  const ModelSpec& spec = model.spec();
  // Large steps, so that activations outweigh everything else.
  const CpuMemoryOptions options = {.threads = 1, .running_max = 2000, .step_tokens_max = 60'000};
  const int64_t weights = *ModelWeights::BytesFor(spec, model.file());
  const CpuMemoryNeeds needs = CpuMemoryNeedsOf(spec, weights, options, spec.context_tokens_max);
  const int64_t before = AddressSpace();

  const auto executor = *MakeCpuExecutor(spec, model.file(),
                                         {.threads = options.threads,
                                          .running_max = options.running_max,
                                          .step_tokens_max = options.step_tokens_max,
                                          .block_count = 64});

  const int64_t mapped = AddressSpace() - before - executor->shape().kv_bytes;
  const int64_t counted = weights + needs.activations_bytes;
  EXPECT_GT(counted + needs.process_bytes, mapped);
  EXPECT_LT(counted, 2 * mapped);
}

TEST(CpuMemoryNeedsTest, WeightsAreCountedExactly) {
  const TinyModel model;
  ThreadTeam team(1);
  EXPECT_EQ(*ModelWeights::BytesFor(model.spec(), model.file()),
            ModelWeights::Load(model.spec(), model.file(), team)->bytes());
}

TEST(MakeCpuExecutorTest, RefusesBeforeItTakesAnything) {
  const TinyModel model;
  const absl::Status status =
      MakeCpuExecutor(model.spec(), model.file(),
                      {.memory_bytes = 10 * kMiB, .memory_source = "the cgroup /x"})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("There are 10.0 MiB (the cgroup /x)"));
}

}  // namespace
}  // namespace spillway
