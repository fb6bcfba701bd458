#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "gtest/gtest.h"
#include "router/router.h"
#include "tests/support/fake_worker.h"
#include "tests/support/socket_dir.h"

// The whole router against FakeWorkers over real gRPC: shards pumped by the test's own thread.

namespace spillway {

constexpr absl::Duration kPatience = absl::Seconds(20);

// A shard's thread, run by hand.
class HandPump {
 public:
  std::function<void(std::function<void()>)> post() {
    return [this](std::function<void()> function) {
      MutexLock lock(mutex_);
      queue_.push_back(std::move(function));
      posted_.NotifyAll();
    };
  }
  // Runs what has been posted, waiting a moment when nothing has.
  void Pump() EXCLUDES(mutex_) {
    std::deque<std::function<void()>> functions;
    {
      MutexLock lock(mutex_);
      if (queue_.empty()) posted_.WaitFor(mutex_, absl::Milliseconds(10));
      functions.swap(queue_);
    }
    for (const auto& function : functions) function();
  }

 private:
  Mutex mutex_;
  CondVar posted_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
};

// Notes what it hears and holds the router to the grammar of ResponseSink.
class RecordingSink : public ResponseSink {
 public:
  void OnAccepted(int32_t prompt_tokens_in) override {
    Hear();
    EXPECT_FALSE(accepted);
    accepted = true;
    prompt_tokens = prompt_tokens_in;
  }
  void OnStarted(int32_t) override {
    Hear();
    EXPECT_TRUE(accepted);
    EXPECT_FALSE(started);
    started = true;
  }
  void OnDelta(int32_t choice, const OutputDelta& delta, int32_t token_count) override {
    Hear();
    EXPECT_TRUE(started);
    EXPECT_FALSE(finished.contains(choice));
    EXPECT_FALSE(delta.empty());
    texts[choice] += delta.content;
    reasonings[choice] += delta.reasoning;
    tokens[choice] += token_count;
    if (on_delta) on_delta();
  }
  void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) override {
    Hear();
    EXPECT_TRUE(started);
    EXPECT_TRUE(finished.emplace(choice, std::pair(reason, usage)).second);
    ended = static_cast<int32_t>(finished.size()) == choices;
  }
  void OnFailed(const GenerateError& error_in) override {
    Hear();
    error = error_in;
    ended = true;
  }
  void OnBatchEnd() override {
    EXPECT_FALSE(ended || in_call);
    EXPECT_GT(heard_since_batch_end, 0) << "an empty batch";
    heard_since_batch_end = 0;
    ++batches;
  }

  void Hear() {
    EXPECT_FALSE(ended) << "told something after the end";
    EXPECT_FALSE(in_call) << "told something from within Submit or Cancel";
    ++heard_since_batch_end;
  }

  int32_t choices = 1;
  std::function<void()> on_delta;
  bool in_call = false;
  bool accepted = false;
  bool started = false;
  bool ended = false;
  int32_t prompt_tokens = 0;
  int batches = 0;
  int heard_since_batch_end = 0;
  std::map<int32_t, std::string> texts;
  std::map<int32_t, std::string> reasonings;
  std::map<int32_t, int32_t> tokens;
  std::map<int32_t, std::pair<FinishReason, Usage>> finished;
  std::optional<GenerateError> error;
};

class RouterTest : public ::testing::Test {
 protected:
  void Make(const RouterLimits& limits = {}) {
    router_ = MakeRouter(limits, clock_, metrics_, /*random_seed=*/1);
    shard_ = router_->MakeShard(pump_.post());
  }
  ~RouterTest() override {
    if (router_ != nullptr) router_->Shutdown();
    shard_.reset();
  }

  FakeWorker& AddWorker(const std::string& name, FakeWorker::Options options = {}) {
    const std::string path = dir_.Path(name + ".sock");
    FakeWorker& worker = *(workers_[name] = std::make_unique<FakeWorker>(path, std::move(options)));
    router_->AddReplica(name, "unix:" + path, "");
    EXPECT_TRUE(PumpUntil([&] { return Replica(name).ready; })) << Replica(name).reason;
    EXPECT_TRUE(worker.WaitUntil([](const auto& seen) { return !seen.router_ids.empty(); }));
    return worker;
  }
  // Another process at the same address, as a supervisor would start.
  FakeWorker& ReplaceWorker(const std::string& name, FakeWorker::Options options = {}) {
    workers_.erase(name);
    const std::string path = dir_.Path(name + ".sock");
    return *(workers_[name] = std::make_unique<FakeWorker>(path, std::move(options)));
  }
  ReplicaStatus Replica(const std::string& name) {
    for (const ReplicaStatus& status : router_->Replicas()) {
      if (status.name == name) return status;
    }
    return {};
  }
  RequestId Submit(RecordingSink& sink, GenerateRequest request = {}) {
    sink.choices = request.choices;
    sink.in_call = true;
    const RequestId id = shard_->Submit(std::move(request), sink);
    sink.in_call = false;
    return id;
  }
  bool PumpUntil(const std::function<bool()>& condition) {
    const absl::Time give_up = clock_.Now() + kPatience;
    while (!condition()) {
      if (clock_.Now() > give_up) return false;
      pump_.Pump();
      shard_->Tick();
    }
    return true;
  }
  bool PumpUntilEnded(const RecordingSink& sink) {
    return PumpUntil([&] { return sink.ended; });
  }
  // The reason that a request is refused with.
  std::string Refusal(GenerateRequest request = {}) {
    RecordingSink sink;
    Submit(sink, std::move(request));
    EXPECT_TRUE(PumpUntilEnded(sink));
    return sink.error.has_value() ? sink.error->reason : "none";
  }

  SocketDir dir_;
  const SystemClock clock_;
  MetricRegistry metrics_;
  HandPump pump_;
  std::map<std::string, std::unique_ptr<FakeWorker>> workers_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<RouterShard> shard_;
};

}  // namespace spillway
