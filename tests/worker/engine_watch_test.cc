#include "worker/engine_watch.h"

#include <atomic>
#include <future>

#include "common/clock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(1);

TEST(EngineWatchTest, CallsOnceWhenTheSignsEnd) {
  const SystemClock clock;
  std::promise<absl::Duration> silence;
  EngineWatch watch(
      clock, kTick, [] { return EngineSign{.turn = 1, .patience = absl::Milliseconds(1)}; },
      [&](absl::Duration waited) { silence.set_value(waited); });
  EXPECT_GT(silence.get_future().get(), absl::Milliseconds(1));
}

TEST(EngineWatchTest, EndsWithoutAWordWhileTheEngineMoves) {
  const SystemClock clock;
  std::atomic<uint64_t> turn = 0;
  std::promise<void> looked;
  {
    EngineWatch watch(
        clock, kTick,
        [&] {
          if (++turn == 1) looked.set_value();
          return EngineSign{.turn = turn, .patience = absl::ZeroDuration()};
        },
        [](absl::Duration) { ADD_FAILURE(); });
    looked.get_future().wait();
  }
}

}  // namespace
}  // namespace spillway
