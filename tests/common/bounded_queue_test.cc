#include "common/bounded_queue.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BoundedQueueTest, PopsInTheOrderOfPushes) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.TryPop(), 2);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(BoundedQueueTest, FullRefusesAndLeavesTheItemAlone) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  ASSERT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  auto item = std::make_unique<int>(2);
  EXPECT_FALSE(queue.TryPush(std::move(item)));
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(*item, 2);
  EXPECT_EQ(queue.size(), queue.capacity());
}

TEST(BoundedQueueTest, ClosedRefusesPushesAndDrains) {
  BoundedQueue<int> queue(2);
  queue.TryPush(1);
  queue.Close();
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_EQ(queue.Pop(), 1);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, PopAllAppendsEverything) {
  BoundedQueue<int> queue(3);
  queue.TryPush(2);
  queue.TryPush(3);
  std::vector<int> items = {1};
  EXPECT_TRUE(queue.PopAll(items, absl::Hours(1)));
  EXPECT_THAT(items, ElementsAre(1, 2, 3));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(BoundedQueueTest, PopAllOfNothingTellsOpenFromClosed) {
  BoundedQueue<int> queue(1);
  std::vector<int> items;
  EXPECT_TRUE(queue.PopAll(items, absl::ZeroDuration()));
  EXPECT_TRUE(queue.PopAll(items, absl::Nanoseconds(1)));
  queue.Close();
  EXPECT_FALSE(queue.PopAll(items, absl::Hours(1)));
  EXPECT_THAT(items, IsEmpty());
}

TEST(BoundedQueueTest, PopAllOfAClosedQueueHandsOverTheRestFirst) {
  BoundedQueue<int> queue(1);
  queue.TryPush(1);
  queue.Close();
  std::vector<int> items;
  EXPECT_TRUE(queue.PopAll(items, absl::ZeroDuration()));
  EXPECT_THAT(items, ElementsAre(1));
  EXPECT_FALSE(queue.PopAll(items, absl::ZeroDuration()));
}

// Whatever the threads' order, each item arrives once, and the items of one producer in its order.
TEST(BoundedQueueTest, ThreadsLoseAndDoubleNothing) {
  constexpr int kProducers = 3;
  constexpr int kConsumers = 2;
  constexpr int kItems = 2000;
  BoundedQueue<int> queue(4);
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&queue, p] {
      for (int i = 0; i < kItems; ++i) {
        while (!queue.TryPush(p * kItems + i)) std::this_thread::yield();
      }
    });
  }
  std::vector<std::vector<int>> taken(kConsumers);
  std::vector<std::thread> consumers;
  for (std::vector<int>& mine : taken) {
    consumers.emplace_back([&queue, &mine] {
      while (const std::optional<int> item = queue.Pop()) mine.push_back(*item);
    });
  }

  for (std::thread& producer : producers) producer.join();
  queue.Close();
  for (std::thread& consumer : consumers) consumer.join();

  std::vector<int> all;
  for (const std::vector<int>& mine : taken) {
    std::vector<int> last(kProducers, -1);
    for (const int item : mine) {
      int& last_of_producer = last[static_cast<size_t>(item / kItems)];
      ASSERT_LT(last_of_producer, item);
      last_of_producer = item;
    }
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::ranges::sort(all);
  std::vector<int> expected(kProducers * kItems);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST(BoundedQueueTest, CloseWakesAllWhoWait) {
  BoundedQueue<int> queue(1);
  std::vector<std::thread> waiting;
  for (int i = 0; i < 3; ++i) waiting.emplace_back([&queue] { EXPECT_FALSE(queue.Pop()); });
  waiting.emplace_back([&queue] {
    std::vector<int> items;
    while (queue.PopAll(items, absl::Hours(1))) {
    }
  });
  queue.Close();
  for (std::thread& thread : waiting) thread.join();
}

TEST(BoundedQueueDeathTest, NoCapacityIsOurOwnBug) {
  EXPECT_DEATH(BoundedQueue<int>(0), "capacity > 0");
}

}  // namespace
}  // namespace spillway
