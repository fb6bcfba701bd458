// Tests of worker/device/thread_team.h; the tsan preset runs them too.

#include "worker/device/thread_team.h"

#include <ctime>
#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::Each;

class ThreadTeamTest : public ::testing::TestWithParam<int32_t> {};

TEST_P(ThreadTeamTest, RunsTheWorkOnceOnEachThread) {
  ThreadTeam team(GetParam());
  std::vector<int32_t> calls(static_cast<size_t>(team.size()));

  for (int32_t run = 0; run < 100; ++run) {
    team.Run([&](int32_t thread) { ++calls[static_cast<size_t>(thread)]; });
  }

  EXPECT_THAT(calls, Each(100));
}

// Every thread writes its own cell, then reads all cells: without the barrier's order some would
// see an old value.
TEST_P(ThreadTeamTest, BarrierShowsEachThreadWhatTheOthersWrote) {
  ThreadTeam team(GetParam());
  std::vector<int64_t> cells(static_cast<size_t>(team.size()));
  std::vector<int64_t> wrong(static_cast<size_t>(team.size()));

  team.Run([&](int32_t thread) {
    for (int64_t round = 1; round <= 500; ++round) {
      cells[static_cast<size_t>(thread)] = round;
      team.Barrier();
      const int64_t sum = std::accumulate(cells.begin(), cells.end(), int64_t{0});
      if (sum != round * team.size()) ++wrong[static_cast<size_t>(thread)];
      team.Barrier();
    }
  });

  EXPECT_THAT(wrong, Each(0));
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadTeamTest, ::testing::Values(1, 2, 3, 8));

TEST(ThreadTeamTest, ThreadsThatWaitPark) {
  ThreadTeam team(2);
  team.Run([](int32_t) {});
  const auto cpu_seconds = [] {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  // The leader waits in the kernel, too, so whatever the clock counts is the team's.
  const double before = cpu_seconds();
  const timespec pause = {.tv_sec = 0, .tv_nsec = 50'000'000};
  nanosleep(&pause, nullptr);

  EXPECT_LT(cpu_seconds() - before, 0.005);  // a spinning thread would have taken 0.05
}

TEST(ShareOfTest, CoversEverythingOnceAndEvenly) {
  for (const int32_t count : {0, 1, 7, 8, 100}) {
    int32_t next = 0;
    for (int32_t thread = 0; thread < 8; ++thread) {
      const auto [begin, end] = ShareOf(thread, 8, count);
      EXPECT_EQ(begin, next);
      EXPECT_LE(end - begin, count / 8 + 1);
      next = end;
    }
    EXPECT_EQ(next, count);
  }
}

}  // namespace
}  // namespace spillway
