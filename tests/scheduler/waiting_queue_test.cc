#include "scheduler/waiting_queue.h"

#include <deque>

#include "gtest/gtest.h"
#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

class WaitingQueueTest : public ::testing::Test {
 protected:
  Sequence& Make(int32_t priority, int arrival_ms, bool preempted = false) {
    Sequence& sequence = sequences_.emplace_back();
    sequence.serial = sequences_.size();
    sequence.priority = priority;
    sequence.arrival = kStart + absl::Milliseconds(arrival_ms);
    sequence.preempted = preempted;
    sequence.tokens = Tokens(3);
    queue_.Push(sequence);
    return sequence;
  }
  static int32_t NothingCached(const Sequence&) { return 0; }
  static int32_t LaterIsCachedLonger(const Sequence& s) { return static_cast<int32_t>(s.serial); }

  const SchedulerLimits limits_ = {.prefix_bonus_age_max = absl::Milliseconds(500),
                                   .prefix_bonus_candidates_max = 3};
  std::deque<Sequence> sequences_;
  WaitingQueue queue_{limits_, 16};
};

TEST_F(WaitingQueueTest, PriorityThenPreemptedThenArrival) {
  Sequence& low = Make(0, 0, /*preempted=*/true);
  Sequence& late = Make(1, 20);
  Sequence& early = Make(1, 10);
  Sequence& preempted = Make(1, 30, /*preempted=*/true);
  for (Sequence* expected : {&preempted, &early, &late, &low}) {
    ASSERT_EQ(queue_.Next(kStart, NothingCached), expected);
    queue_.Remove(*expected);
  }
  EXPECT_EQ(queue_.Next(kStart, NothingCached), nullptr);
}

TEST_F(WaitingQueueTest, BonusPassesTheYoungOnly) {
  Sequence& first = Make(0, 0);
  Sequence& second = Make(0, 1);
  EXPECT_EQ(queue_.Next(kStart + absl::Milliseconds(500), LaterIsCachedLonger), &second);
  EXPECT_EQ(queue_.Next(kStart + absl::Milliseconds(501), LaterIsCachedLonger), &first);
}

TEST_F(WaitingQueueTest, BonusDoesNotPassThePreempted) {
  Sequence& preempted = Make(0, 10, /*preempted=*/true);
  Make(0, 0);
  EXPECT_EQ(queue_.Next(kStart, LaterIsCachedLonger), &preempted);
}

TEST_F(WaitingQueueTest, BonusStaysWithinAPriority) {
  Sequence& high = Make(1, 10);
  Make(0, 0);
  EXPECT_EQ(queue_.Next(kStart, LaterIsCachedLonger), &high);
}

TEST_F(WaitingQueueTest, OnlyTheFirstFewAreLookedUp) {
  for (int i = 0; i < 10; ++i) Make(0, i);
  int lookups = 0;
  Sequence* next = queue_.Next(kStart, [&](const Sequence& s) {
    ++lookups;
    return LaterIsCachedLonger(s);
  });
  EXPECT_EQ(lookups, 3);
  EXPECT_EQ(next, &sequences_[2]);
}

TEST_F(WaitingQueueTest, EquallyCachedKeepTheirOrder) {
  Sequence& first = Make(0, 0);
  Make(0, 1);
  EXPECT_EQ(queue_.Next(kStart, [](const Sequence&) { return 8; }), &first);
}

TEST_F(WaitingQueueTest, CountsTheTokensThatItTookIn) {
  Sequence& sequence = Make(0, 0);
  sequence.tokens.push_back(1);  // A sample that was in flight.
  Make(0, 1);
  EXPECT_EQ(queue_.tokens(), 6);
  queue_.Remove(sequence);
  EXPECT_EQ(queue_.tokens(), 3);
}

}  // namespace
}  // namespace spillway
