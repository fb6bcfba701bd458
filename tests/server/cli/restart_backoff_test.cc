#include "server/cli/restart_backoff.h"

#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(RestartBackoffTest, DoublesToItsLimit) {
  RestartBackoff backoff({.delay_min = absl::Milliseconds(100), .delay_max = absl::Seconds(1)});
  const absl::Time start = absl::UnixEpoch();
  std::vector<int64_t> delays_ms;
  for (int i = 0; i < 6; ++i) {
    delays_ms.push_back(
        absl::ToInt64Milliseconds(backoff.DelayAfter(start, start + absl::Seconds(1))));
  }
  EXPECT_EQ(delays_ms, (std::vector<int64_t>{100, 200, 400, 800, 1000, 1000}));
}

TEST(RestartBackoffTest, StableRunForgivesWhatWasBefore) {
  RestartBackoff backoff({.delay_min = absl::Milliseconds(100), .stable_after = absl::Seconds(30)});
  const absl::Time start = absl::UnixEpoch();
  for (int i = 0; i < 5; ++i) backoff.DelayAfter(start, start);
  EXPECT_GT(backoff.DelayAfter(start, start + absl::Seconds(29.9)), absl::Seconds(1));
  EXPECT_EQ(backoff.DelayAfter(start, start + absl::Seconds(30)), absl::Milliseconds(100));
  EXPECT_EQ(backoff.DelayAfter(start, start), absl::Milliseconds(200));
}

}  // namespace
}  // namespace spillway
