#include "router/balancer.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

ReplicaSnapshot Ready(int32_t id) {
  return {.key = {ReplicaId{id}, 1}, .ready = true, .running_max = 4, .waiting_max = 8};
}

TEST(PredictedWait, IsWhatTheReplicaSaysAndWhatWasSentSince) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.newcomer_wait_ms = 1500;
  replica.load.wait_ms_per_prompt_token = 10;
  EXPECT_EQ(PredictedWait(replica), absl::Milliseconds(1500));
  replica.unaccepted_prompt_tokens = 50;
  EXPECT_EQ(PredictedWait(replica), absl::Seconds(2));
}

TEST(PredictedWait, GrowsWithWhatWasSentWhereAllPlacesAreTaken) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.running = 2;
  replica.load.wait_ms_per_sequence = 500;
  replica.unaccepted = 1;
  EXPECT_EQ(PredictedWait(replica), absl::ZeroDuration());
  replica.unaccepted = 3;  // the fourth place and one more
  EXPECT_EQ(PredictedWait(replica), absl::Seconds(1));
  // That these wait the replica has counted itself.
  replica.load.running = 4;
  replica.load.waiting = 4;
  EXPECT_EQ(PredictedWait(replica), absl::Seconds(1.5));
}

TEST(PredictedWait, IsNothingBeforeAnythingIsMeasured) {
  ReplicaSnapshot replica = Ready(0);
  replica.load = {.running = 9, .waiting = 9, .waiting_prompt_tokens = 900};
  replica.unaccepted = 3;
  EXPECT_EQ(PredictedWait(replica), absl::ZeroDuration());
}

TEST(HasRoom, CountsTheQueueAndTheFreePlaces) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.running = 2;
  EXPECT_TRUE(HasRoom(replica, 10));
  EXPECT_FALSE(HasRoom(replica, 11));
  replica.unaccepted = 1;
  EXPECT_FALSE(HasRoom(replica, 10));
}

TEST(HasRoom, FreePlacesDontCountWhileOthersQueue) {
  ReplicaSnapshot replica = Ready(0);
  replica.load.running = 2;
  replica.load.waiting = 8;  // KV memory is short, not places
  EXPECT_FALSE(HasRoom(replica, 1));
}

TEST(ChooseReplica, TakesTheLowerWaitOfTwo) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1)};
  replicas[0].load.newcomer_wait_ms = 500;
  for (uint64_t random = 0; random < 8; ++random) {
    EXPECT_EQ(ChooseReplica(replicas, {}, 1, 0, random), 1);
  }
}

TEST(ChooseReplica, TakesTheFewerSequencesAtEqualWait) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1)};
  replicas[1].load.running = 1;
  for (uint64_t random = 0; random < 8; ++random) {
    EXPECT_EQ(ChooseReplica(replicas, {}, 1, 0, random), 0);
  }
}

TEST(ChooseReplica, ReachesEveryEqualReplica) {
  const std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1), Ready(2)};
  std::mt19937_64 rng(1);
  std::vector<int> taken(3);
  for (int i = 0; i < 300; ++i) ++taken[ChooseReplica(replicas, {}, 1, 0, rng()).value()];
  for (const int count : taken) EXPECT_GT(count, 60);
}

TEST(ChooseReplica, PrefersTheWantedNumericsWhereTheyHaveRoom) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0), Ready(1), Ready(2)};
  replicas[2].numerics = 5;
  replicas[2].load.running = 1;  // busier than the others
  for (uint64_t random = 0; random < 8; ++random) {
    EXPECT_EQ(ChooseReplica(replicas, {}, 1, 5, random), 2);
    EXPECT_NE(ChooseReplica(replicas, {}, 1, 6, random), std::nullopt) << "none has them";
  }
}

TEST(ChooseReplica, ALostReplicaThatCameBackIsAnother) {
  std::vector<ReplicaSnapshot> replicas = {Ready(0)};
  const std::vector<ReplicaKey> excluded = {{ReplicaId{0}, 1}};
  EXPECT_EQ(ChooseReplica(replicas, excluded, 1, 0, 0), std::nullopt);
  replicas[0].key.attachment = 2;
  EXPECT_EQ(ChooseReplica(replicas, excluded, 1, 0, 0), 0);
}

// Whatever the replicas look like: what is chosen is a candidate with room, there is a choice
// whenever one exists, and the most loaded of three or more is never chosen.
TEST(ChooseReplica, HoldsItsPromiseForRandomReplicas) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 rng(seed);
    const auto uniform = [&rng](int low, int high) {
      return std::uniform_int_distribution<int>(low, high)(rng);
    };
    std::vector<ReplicaSnapshot> replicas;
    std::vector<ReplicaKey> excluded;
    for (int i = uniform(0, 5); i > 0; --i) {
      ReplicaSnapshot replica = Ready(i);
      replica.ready = uniform(0, 3) > 0;
      replica.draining = uniform(0, 5) == 0;
      replica.load.running = uniform(0, 4);
      replica.load.waiting = uniform(0, 9);
      replica.load.newcomer_wait_ms = uniform(0, 1000);
      if (uniform(0, 4) == 0) excluded.push_back(replica.key);
      replicas.push_back(replica);
    }
    const int32_t count = uniform(1, 3);
    const auto usable = [&](const ReplicaSnapshot& replica) {
      return replica.ready && !replica.draining && HasRoom(replica, count) &&
             std::find(excluded.begin(), excluded.end(), replica.key) == excluded.end();
    };
    absl::Duration longest = -absl::InfiniteDuration();
    int usable_count = 0;
    for (const ReplicaSnapshot& replica : replicas) {
      if (!usable(replica)) continue;
      ++usable_count;
      longest = std::max(longest, PredictedWait(replica));
    }

    const std::optional<size_t> chosen = ChooseReplica(replicas, excluded, count, 0, rng());

    ASSERT_EQ(chosen.has_value(), usable_count > 0) << "seed " << seed;
    if (!chosen.has_value()) continue;
    ASSERT_TRUE(usable(replicas[*chosen])) << "seed " << seed;
    bool tie = false;
    for (size_t i = 0; i < replicas.size(); ++i) {
      tie |= i != *chosen && usable(replicas[i]) && PredictedWait(replicas[i]) == longest;
    }
    if (usable_count > 1 && !tie) {
      ASSERT_LT(PredictedWait(replicas[*chosen]), longest) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace spillway
