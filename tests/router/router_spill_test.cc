// What the router offers to be done elsewhere, and when.

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "router/spill_policy.h"
#include "tests/router/router_fixture.h"

namespace spillway {
namespace {

// Takes what it is offered, or doesn't.
class TakingSink : public RecordingSink {
 public:
  explicit TakingSink(bool takes) : takes_(takes) {}
  bool TakeElsewhere(const GenerateError& why) override {
    EXPECT_FALSE(in_call) << "asked from within Submit";
    EXPECT_FALSE(ended);
    ++offers;
    reason = why.reason;
    if (takes_) ended = true;  // From now on Hear() fails.
    return takes_;
  }

  int offers = 0;
  std::string reason;

 private:
  const bool takes_;
};

class RouterSpillTest : public RouterTest {
 protected:
  // Runs what is posted and due for a while.
  void PumpSome() {
    for (int i = 0; i < 10; ++i) {
      pump_.Pump();
      shard_->Tick();
    }
  }
};

TEST_F(RouterSpillTest, WhatNoWorkerTakesIsOffered) {
  Make();
  TakingSink taking(true);
  Submit(taking);
  ASSERT_TRUE(PumpUntilEnded(taking));
  PumpSome();
  EXPECT_EQ(taking.reason, "no_ready_replica");
  EXPECT_EQ(taking.offers, 1);
  EXPECT_FALSE(taking.error.has_value());
  EXPECT_EQ(shard_->requests_in_flight(), 0);
  TakingSink refusing(false);
  Submit(refusing);
  ASSERT_TRUE(PumpUntilEnded(refusing));
  EXPECT_EQ(refusing.error->reason, "no_ready_replica");
}

TEST_F(RouterSpillTest, WhatAWorkerRefusesForItsQueueIsOffered) {
  Make();
  AddWorker("a").RefuseNext(1, absl::StatusCode::kResourceExhausted, "queue_full");
  TakingSink taking(true);
  Submit(taking);
  ASSERT_TRUE(PumpUntilEnded(taking));
  EXPECT_EQ(taking.reason, "queue_full");
}

TEST_F(RouterSpillTest, TheClientsOwnMistakesAreNot) {
  Make();
  AddWorker("a").RefuseNext(1, absl::StatusCode::kInvalidArgument, "context_length_exceeded");
  TakingSink too_long(true);
  Submit(too_long);
  ASSERT_TRUE(PumpUntilEnded(too_long));
  TakingSink unknown(true);
  Submit(unknown, {.model = "another"});
  ASSERT_TRUE(PumpUntilEnded(unknown));
  EXPECT_EQ(too_long.offers + unknown.offers, 0);
  EXPECT_EQ(unknown.error->reason, "model_not_found");
}

TEST_F(RouterSpillTest, WhatAWorkerHasAcceptedIsNot) {
  RouterLimits limits;
  limits.resume_wait = absl::ZeroDuration();
  Make(limits);
  FakeWorker& worker = AddWorker("a", {.starts = false});
  TakingSink taking(true);
  Submit(taking);
  ASSERT_TRUE(PumpUntil([&] { return taking.accepted; }));
  worker.Kill();
  ASSERT_TRUE(PumpUntilEnded(taking));
  EXPECT_EQ(taking.offers, 0);
  EXPECT_EQ(taking.error->reason, "worker_lost");
}

TEST_F(RouterSpillTest, WhatWaitsTooLongIsOfferedOnce) {
  Make();
  FakeWorker& worker = AddWorker("a", {.starts = false});
  GenerateRequest request = {.new_tokens_max = 2, .spill_after = absl::Milliseconds(1)};
  TakingSink refusing(false);
  Submit(refusing, request);
  ASSERT_TRUE(PumpUntil([&] { return refusing.offers == 1; }));
  EXPECT_EQ(refusing.reason, kWaitOverSpillAfter);
  TakingSink taking(true);
  Submit(taking, request);
  ASSERT_TRUE(PumpUntilEnded(taking));
  EXPECT_EQ(shard_->requests_in_flight(), 1);
  // The other one keeps its place.
  worker.Allow(100);
  ASSERT_TRUE(PumpUntilEnded(refusing));
  EXPECT_FALSE(refusing.error.has_value());
  EXPECT_EQ(refusing.offers, 1);
}

TEST_F(RouterSpillTest, WhatHasStartedIsNot) {
  Make();
  AddWorker("a", {.hold_after = 1});
  TakingSink taking(true);
  Submit(taking, {.new_tokens_max = 2, .spill_after = absl::Milliseconds(200)});
  ASSERT_TRUE(PumpUntil([&] { return taking.started; }));
  const absl::Time later = clock_.Now() + absl::Milliseconds(250);
  ASSERT_TRUE(PumpUntil([&] { return clock_.Now() > later; }));
  EXPECT_EQ(taking.offers, 0);
}

TEST(SpillPolicyTest, OnlyWhatMoreWorkersWouldCureIsExhaustion) {
  for (const char* reason :
       {"no_ready_replica", "queue_full", "kv_full", "predicted_wait_over_deadline"}) {
    EXPECT_TRUE(IsExhaustion(reason)) << reason;
  }
  for (const char* reason :
       {"rate_limited", "quota_exceeded", "request_over_limit", "model_not_allowed",
        "model_not_found", "invalid_request", "context_length_exceeded", "deadline", "draining",
        "cancelled", "internal", "provider_failed", ""}) {
    EXPECT_FALSE(IsExhaustion(reason)) << reason;
  }
}

}  // namespace
}  // namespace spillway
