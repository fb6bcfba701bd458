#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "router/router.h"

namespace spillway {

// A router without workers. Each request runs the script, on the shard's thread and after Submit()
// has returned; without a script it waits until the test drives its sink.
//
// Thread-safe but for the shards' own calls, as the real one.
class FakeRouter : public Router {
 public:
  using Post = std::function<void(std::function<void()>)>;
  using Script = std::function<void(const GenerateRequest&, ResponseSink&)>;

  void SetScript(Script script) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    script_ = std::move(script);
  }
  // Each request for embeddings gets this, on the shard's thread.
  using EmbeddingScript = std::function<void(const EmbeddingRequest&, EmbeddingSink&)>;
  void SetEmbeddingScript(EmbeddingScript script) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    embedding_script_ = std::move(script);
  }
  void SetModels(std::vector<ModelInfo> models) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    models_ = std::move(models);
  }
  void SetReplicas(std::vector<ReplicaStatus> replicas) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    replicas_ = std::move(replicas);
  }

  // False when that many were not seen within ten seconds.
  bool WaitForSubmits(int count) EXCLUDES(mutex_) {
    return WaitUntil(&FakeRouter::submits_, count);
  }
  bool WaitForCancels(int count) EXCLUDES(mutex_) {
    return WaitUntil(&FakeRouter::cancels_, count);
  }
  std::vector<GenerateRequest> requests() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return requests_;
  }
  std::vector<std::pair<std::string, std::string>> added_replicas() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return added_;
  }
  bool draining() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return draining_;
  }

  // Calls `function` with the sink of the latest request of that shard, on the shard's thread;
  // does nothing if it was cancelled.
  void Drive(int shard, std::function<void(ResponseSink&)> function);

  int cancels() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return cancels_;
  }

  // The sinks of all requests of that shard, the latest last; to be called on the shard's thread.
  std::vector<ResponseSink*> Sinks(int shard) EXCLUDES(mutex_);
  ResponseSink& LatestSink(int shard) { return *Sinks(shard).back(); }

  // Router
  std::unique_ptr<RouterShard> MakeShard(Post post) override;
  void AddReplica(const std::string& name, const std::string& target,
                  const std::string& /*model*/) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    added_.emplace_back(name, target);
  }
  void RemoveReplica(const std::string&) override {}
  void ExplainReplica(const std::string&, const std::string&) override {}
  std::vector<ModelInfo> Models() const override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return models_;
  }
  std::vector<ReplicaStatus> Replicas() const override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return replicas_;
  }
  void SetDraining(bool draining) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    draining_ = draining;
  }
  void Shutdown() override {}

 private:
  class Shard;

  // A pointer to the member, since clang's analysis takes a reference for an access.
  bool WaitUntil(int FakeRouter::* counter, int count) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (int waits = 0; this->*counter < count && waits < 100; ++waits) {
      changed_.WaitFor(mutex_, absl::Milliseconds(100));
    }
    return this->*counter >= count;
  }

  mutable Mutex mutex_;
  CondVar changed_;
  Script script_ GUARDED_BY(mutex_);
  EmbeddingScript embedding_script_ GUARDED_BY(mutex_);
  std::vector<ModelInfo> models_ GUARDED_BY(mutex_);
  std::vector<ReplicaStatus> replicas_ GUARDED_BY(mutex_);
  std::vector<GenerateRequest> requests_ GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::string>> added_ GUARDED_BY(mutex_);
  std::vector<Shard*> shards_ GUARDED_BY(mutex_);
  int submits_ GUARDED_BY(mutex_) = 0;
  int cancels_ GUARDED_BY(mutex_) = 0;
  bool draining_ GUARDED_BY(mutex_) = false;
};

class FakeRouter::Shard : public RouterShard {
 public:
  Shard(FakeRouter& router, Post post) : router_(router), post_(std::move(post)) {}

  RequestId Submit(GenerateRequest request, ResponseSink& sink) override {
    const RequestId id{++last_id_};
    live_.emplace_back(id, &sink);
    MutexLock lock(router_.mutex_);
    if (router_.script_) {
      post_([this, id, script = router_.script_, request] {
        if (ResponseSink* live = Find(id)) script(request, *live);
      });
    }
    router_.requests_.push_back(std::move(request));
    ++router_.submits_;
    router_.changed_.NotifyAll();
    return id;
  }

  RequestId Embed(EmbeddingRequest request, EmbeddingSink& sink) override {
    const RequestId id{++last_id_};
    embedding_ = id;
    MutexLock lock(router_.mutex_);
    post_([this, id, &sink, script = router_.embedding_script_, request = std::move(request)] {
      if (script && embedding_ == id) script(request, sink);
    });
    return id;
  }

  void Cancel(RequestId id) override {
    if (embedding_ == id) embedding_ = RequestId{};
    std::erase_if(live_, [id](const auto& entry) { return entry.first == id; });
    MutexLock lock(router_.mutex_);
    ++router_.cancels_;
    router_.changed_.NotifyAll();
  }

  void Tick() override {}
  int32_t requests_in_flight() const override { return static_cast<int32_t>(live_.size()); }

  std::vector<ResponseSink*> Sinks() const {
    std::vector<ResponseSink*> sinks;
    for (const auto& [id, sink] : live_) sinks.push_back(sink);
    return sinks;
  }
  void DriveLatest(std::function<void(ResponseSink&)> function) {
    post_([this, function = std::move(function)] {
      if (!live_.empty()) function(*live_.back().second);
    });
  }

 private:
  ResponseSink* Find(RequestId id) {
    const auto found = std::find_if(live_.begin(), live_.end(),
                                    [id](const auto& entry) { return entry.first == id; });
    return found == live_.end() ? nullptr : found->second;
  }

  FakeRouter& router_;
  const Post post_;
  uint64_t last_id_ = 0;
  RequestId embedding_{};  // the latest
  std::vector<std::pair<RequestId, ResponseSink*>> live_;
};

inline std::unique_ptr<RouterShard> FakeRouter::MakeShard(Post post) {
  auto shard = std::make_unique<Shard>(*this, std::move(post));
  MutexLock lock(mutex_);
  shards_.push_back(shard.get());
  return shard;
}

inline std::vector<ResponseSink*> FakeRouter::Sinks(int shard) {
  MutexLock lock(mutex_);
  return shards_.at(static_cast<size_t>(shard))->Sinks();
}

inline void FakeRouter::Drive(int shard, std::function<void(ResponseSink&)> function) {
  MutexLock lock(mutex_);
  shards_.at(static_cast<size_t>(shard))->DriveLatest(std::move(function));
}

}  // namespace spillway
