#include "scheduler/slot_pool.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(SlotPoolTest, HandsOutEachSlotOnce) {
  SlotPool slots(2);
  const auto first = slots.Take();
  const auto second = slots.Take();
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_NE(*first, *second);
  EXPECT_FALSE(slots.Take().has_value());
  slots.Release(*first);
  EXPECT_EQ(slots.Take(), first);
}

TEST(SlotPoolTest, ASlotInFlightIsHandedOutOnlyWhenItsLastPlanHasCompleted) {
  SlotPool slots(1);
  const SlotId slot = *slots.Take();
  slots.RowPlanned(slot);
  slots.RowPlanned(slot);
  slots.Release(slot);
  EXPECT_FALSE(slots.Take().has_value());
  slots.RowCompleted(slot);
  EXPECT_FALSE(slots.Take().has_value());
  slots.RowCompleted(slot);
  EXPECT_EQ(slots.Take(), slot);
}

TEST(SlotPoolTest, CompletingWhileTakenDoesNotFree) {
  SlotPool slots(1);
  const SlotId slot = *slots.Take();
  slots.RowPlanned(slot);
  slots.RowCompleted(slot);
  EXPECT_FALSE(slots.Take().has_value());
}

}  // namespace
}  // namespace spillway
