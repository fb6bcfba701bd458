// Steady decode steps allocate nothing: this binary counts every operator new.

#include <vector>

#include "gtest/gtest.h"
#include "tests/scheduler/scheduler_fixture.h"
#include "tests/support/allocation_counter.h"

namespace spillway {
namespace {

constexpr int kSequences = 64;

class AllocationTest : public ::testing::Test {
 protected:
  AllocationTest() {
    for (int i = 0; i < kSequences + 20; ++i) {
      const std::vector<TokenId> prompt = Tokens(20, i);
      EXPECT_TRUE(scheduler_
                      .Add({.id = SequenceId{static_cast<uint64_t>(i)},
                            .prompt = prompt,
                            .new_tokens_max = 400})
                      .ok());
    }
    for (int i = 0; i < 4; ++i) {
      scheduler_.PlanStep(kStart);
      scheduler_.CompleteStep(sampled_, absl::Milliseconds(3));
    }
  }

  std::vector<SampledSlice> sampled_ = std::vector<SampledSlice>(kSequences, {.token = 3});
  Scheduler scheduler_{{.running_max = kSequences,
                        .step_tokens_max = 4096,
                        .block_tokens = 4,
                        .block_count = 8192,
                        .step_target = absl::Milliseconds(5)}};
};

TEST_F(AllocationTest, CounterCounts) {
  const int64_t before = AllocationCount();
  std::vector<int> memory(100);
  EXPECT_EQ(memory.size(), 100u);
  EXPECT_GT(AllocationCount(), before);
}

TEST_F(AllocationTest, SteadyStepsAllocateNothing) {
  const int64_t before = AllocationCount();
  size_t slices = 0;
  for (int i = 0; i < 100; ++i) {
    slices += scheduler_.PlanStep(kStart).slices.size();
    scheduler_.CompleteStep(sampled_, absl::Milliseconds(3));
  }
  EXPECT_EQ(AllocationCount(), before);
  EXPECT_EQ(slices, 100u * kSequences);
}

TEST_F(AllocationTest, SteadyPipelinedStepsAllocateNothing) {
  scheduler_.PlanStep(kStart);
  const int64_t before = AllocationCount();
  size_t slices = 0;
  for (int i = 0; i < 100; ++i) {
    slices += scheduler_.PlanStep(kStart).slices.size();
    scheduler_.CompleteStep(sampled_, absl::Milliseconds(3));
  }
  EXPECT_EQ(AllocationCount(), before);
  EXPECT_EQ(slices, 100u * kSequences);
}

}  // namespace
}  // namespace spillway
