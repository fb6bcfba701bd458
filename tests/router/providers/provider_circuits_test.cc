#include "router/providers/provider_circuits.h"

#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

using enum ProviderAction;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
const CircuitKey kPlus = {"bailian", "main", "qwen-plus"};
const CircuitKey kMax = {"bailian", "main", "qwen-max"};
const CircuitKey kOtherKey = {"bailian", "second", "qwen-plus"};
constexpr absl::Duration kNothingAsked = absl::ZeroDuration();

class ProviderCircuitsTest : public testing::Test {
 protected:
  // Asks, and comes back with that error at once.
  void Fail(const CircuitKey& key, ProviderAction action,
            absl::Duration retry_after = kNothingAsked) {
    const CircuitPermit permit = circuits_.Ask(key, now_);
    ASSERT_TRUE(permit.allowed);
    circuits_.OnError(key, permit, {action, "why", action >= kBlockModel}, retry_after, now_);
  }
  void Succeed(const CircuitKey& key) {
    const CircuitPermit permit = circuits_.Ask(key, now_);
    ASSERT_TRUE(permit.allowed);
    circuits_.OnSuccess(key, permit);
  }
  // Asks and gives up again.
  bool IsOpen(const CircuitKey& key) {
    const CircuitPermit permit = circuits_.Ask(key, now_);
    if (permit.allowed) circuits_.OnAbandoned(key, permit);
    return !permit.allowed;
  }

  CircuitLimits limits_ = {.circuits_max = 4};
  ProviderCircuits circuits_{limits_};
  absl::Time now_ = kNow;
};

TEST_F(ProviderCircuitsTest, ABillOrAKeyStopsAllOfTheKeysModelsAtOnce) {
  Fail(kPlus, kBlockKey);
  EXPECT_TRUE(IsOpen(kPlus));
  EXPECT_TRUE(IsOpen(kMax));
  EXPECT_FALSE(IsOpen(kOtherKey));
  const CircuitPermit refused = circuits_.Ask(kMax, now_);
  EXPECT_EQ(refused.retry_at, kNow + limits_.blocked_min);
  EXPECT_EQ(refused.reason, "why");
  ASSERT_EQ(circuits_.Open(now_).size(), 1u);
  EXPECT_TRUE(circuits_.Open(now_)[0].alert);
  EXPECT_EQ(circuits_.Open(now_)[0].of, (CircuitKey{"bailian", "main", ""}));
}

TEST_F(ProviderCircuitsTest, ADeniedModelStopsThatModel) {
  Fail(kPlus, kBlockModel);
  EXPECT_TRUE(IsOpen(kPlus));
  EXPECT_FALSE(IsOpen(kMax));
}

TEST_F(ProviderCircuitsTest, ThrottlingOpensBrieflyAndAsLongAsTheProviderAsks) {
  Fail(kPlus, kBackOff);
  EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at, now_ + limits_.open_min);
  Fail(kMax, kBackOff, absl::Seconds(20));
  EXPECT_EQ(circuits_.Ask(kMax, now_).retry_at, now_ + absl::Seconds(20));
  Fail(kOtherKey, kBackOff, absl::Hours(24));
  EXPECT_EQ(circuits_.Ask(kOtherKey, now_).retry_at, now_ + limits_.retry_after_max);
}

TEST_F(ProviderCircuitsTest, FailuresOpenOnlyInARow) {
  for (int i = 0; i < limits_.failures_in_a_row - 1; ++i) Fail(kPlus, kTryAgain);
  Succeed(kPlus);
  for (int i = 0; i < limits_.failures_in_a_row - 1; ++i) Fail(kPlus, kGiveUp);
  EXPECT_FALSE(IsOpen(kPlus));
  Fail(kPlus, kTryAgain);
  EXPECT_TRUE(IsOpen(kPlus));
}

TEST_F(ProviderCircuitsTest, TheCallersFaultsAreNoneOfTheProviders) {
  for (int i = 0; i < 100; ++i) {
    Fail(kPlus, kPassOn);
    Fail(kPlus, kContentFilter);
  }
  EXPECT_FALSE(IsOpen(kPlus));
  EXPECT_EQ(circuits_.kept(), 0u);
}

TEST_F(ProviderCircuitsTest, OneProbeAtATimeAndItsSuccessCloses) {
  Fail(kPlus, kBackOff);
  now_ += limits_.open_min;
  const CircuitPermit probe = circuits_.Ask(kPlus, now_);
  EXPECT_TRUE(probe.allowed);
  EXPECT_TRUE(IsOpen(kPlus));
  EXPECT_TRUE(circuits_.Open(now_)[0].half_open);
  circuits_.OnSuccess(kPlus, probe);
  EXPECT_TRUE(circuits_.Ask(kPlus, now_).allowed);
  EXPECT_TRUE(circuits_.Ask(kPlus, now_).allowed);
  EXPECT_TRUE(circuits_.Open(now_).empty());
}

TEST_F(ProviderCircuitsTest, EachOpeningLastsTwiceAsLongUpToTheMost) {
  absl::Duration length = limits_.blocked_min;
  for (int i = 0; i < 10; ++i) {
    Fail(kPlus, kBlockKey);
    EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at - now_, length);
    now_ += length;
    length = std::min(2 * length, limits_.blocked_max);
  }
  Succeed(kPlus);
  Fail(kPlus, kBlockKey);
  EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at - now_, limits_.blocked_min) << "a new start";
}

TEST_F(ProviderCircuitsTest, WhatBeganBeforeTheOpeningChangesNothing) {
  const CircuitPermit early = circuits_.Ask(kPlus, now_);
  const CircuitPermit also_early = circuits_.Ask(kPlus, now_);
  Fail(kPlus, kBackOff);
  circuits_.OnError(kPlus, early, {kBackOff, "why", false}, kNothingAsked, now_);
  EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at, now_ + limits_.open_min) << "not doubled";
  circuits_.OnSuccess(kPlus, also_early);
  EXPECT_TRUE(IsOpen(kPlus));
}

TEST_F(ProviderCircuitsTest, ABlockReplacesAShorterOpening) {
  const CircuitPermit early = circuits_.Ask(kPlus, now_);
  Fail(kPlus, kBackOff);
  circuits_.OnError(kPlus, early, {kBlockModel, "billing", true}, kNothingAsked, now_);
  EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at, now_ + limits_.blocked_min);
  EXPECT_EQ(circuits_.Ask(kPlus, now_).reason, "billing");
}

TEST_F(ProviderCircuitsTest, ThrottlingAfterABlockIsBriefAgain) {
  Fail(kPlus, kBlockModel);
  now_ += limits_.blocked_min;
  Fail(kPlus, kBackOff);
  EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at, now_ + limits_.open_min);
}

TEST_F(ProviderCircuitsTest, AnAbandonedProbeMakesRoomForAnother) {
  Fail(kPlus, kBackOff);
  now_ += limits_.open_min;
  circuits_.OnAbandoned(kPlus, circuits_.Ask(kPlus, now_));
  EXPECT_TRUE(circuits_.Ask(kPlus, now_).allowed);
}

TEST_F(ProviderCircuitsTest, AProbeThatIsNeverHeardOfIsGivenUp) {
  Fail(kPlus, kBackOff);
  now_ += limits_.open_min;
  EXPECT_TRUE(circuits_.Ask(kPlus, now_).allowed);  // and nothing more
  EXPECT_EQ(circuits_.Ask(kPlus, now_).retry_at, now_ + limits_.probe_max);
  now_ += limits_.probe_max;
  EXPECT_TRUE(circuits_.Ask(kPlus, now_).allowed);
}

TEST_F(ProviderCircuitsTest, ARequestRefusedByOneCircuitIsNotTheProbeOfAnother) {
  Fail(kPlus, kBlockModel);
  now_ += limits_.blocked_min - absl::Seconds(1);
  Fail(kMax, kBackOff);  // until blocked_min
  now_ += absl::Seconds(1);
  Fail(kMax, kBlockKey);  // by the probe of kMax
  now_ += limits_.blocked_min;
  // Now the key is half-open, kPlus too; a probe of both fails for its model alone.
  const CircuitPermit probe = circuits_.Ask(kPlus, now_);
  EXPECT_TRUE(probe.probes_key && probe.probes_model);
  EXPECT_FALSE(circuits_.Ask(kMax, now_).allowed) << "the key's probe is under way";
  circuits_.OnError(kPlus, probe, {kBlockModel, "why", true}, kNothingAsked, now_);
  EXPECT_FALSE(circuits_.Ask(kPlus, now_).allowed);
  const CircuitPermit other = circuits_.Ask(kMax, now_);
  EXPECT_TRUE(other.allowed) << "the refusal by the model of kPlus took no probe of the key's";
  circuits_.OnSuccess(kMax, other);
  EXPECT_FALSE(IsOpen(kMax));
  EXPECT_TRUE(IsOpen(kPlus));
}

TEST_F(ProviderCircuitsTest, OfTooManyTheLeastIsForgotten) {
  Fail(kPlus, kBlockKey);
  const CircuitKey second = kOtherKey;
  Fail(second, kTryAgain);  // closed
  for (const char* model : {"a", "b", "c", "d", "e"}) {
    Fail({"bailian", "second", model}, kBlockModel);
    now_ += absl::Seconds(1);
  }
  EXPECT_EQ(circuits_.kept(), limits_.circuits_max);
  EXPECT_TRUE(IsOpen(kPlus)) << "a key's is kept";
  EXPECT_FALSE(IsOpen({"bailian", "second", "a"}));
  EXPECT_FALSE(IsOpen({"bailian", "second", "b"}));
  EXPECT_TRUE(IsOpen({"bailian", "second", "e"}));
}

}  // namespace
}  // namespace spillway
