#include "common/mutex.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(MutexTest, OneThreadAtATime) {
  Mutex mutex;
  int64_t count = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 20'000);
}

TEST(CondVarTest, WaitReturnsWithTheMutexHeldWhenNotified) {
  Mutex mutex;
  CondVar changed;
  int turn = 0;  // Two threads take turns: each step needs the other's notification.
  const auto play = [&](int mine) {
    for (int i = 0; i < 200; ++i) {
      MutexLock lock(mutex);
      while (turn % 2 != mine) changed.Wait(mutex);
      ++turn;
      changed.NotifyAll();
    }
  };
  std::thread other([&] { play(1); });
  play(0);
  other.join();
  EXPECT_EQ(turn, 400);
}

TEST(CondVarTest, WaitForGivesUpAndKeepsTheMutex) {
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  // A wake without cause returns true; it can't do so forever.
  while (never.WaitFor(mutex, absl::Nanoseconds(1))) {
  }
}

}  // namespace
}  // namespace spillway
