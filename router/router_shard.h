#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "router/admission.h"
#include "router/embedding_flows.h"
#include "router/replica_directory.h"
#include "router/request_flow.h"
#include "router/router.h"
#include "router/router_metrics.h"
#include "router/upstream_event.h"

namespace spillway {

// Where gRPC's threads leave what is for a shard. Outlives the shard, closed by it.
class ShardMailbox {
 public:
  using Function = std::function<void()>;
  explicit ShardMailbox(std::function<void(Function)> post) : post_(std::move(post)) {}
  // Nothing is posted after Close().
  void Post(Function function) EXCLUDES(mutex_);
  void Close() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  const std::function<void(Function)> post_;  // called under mutex_: it must not block
  bool closed_ GUARDED_BY(mutex_) = false;
};

// Carries out what the flows of one thread want: asks admission, submits, tells sinks.
//
// Threading: the shard's thread only, but for mailbox() and the Post… functions.
class RouterShardImpl : public RouterShard {
 public:
  // `directory`, `clock` and `metrics` outlive it.
  RouterShardImpl(int32_t index, const RouterLimits& limits, uint64_t random_seed,
                  const ReplicaDirectory& directory, const Clock& clock, MetricRegistry& metrics,
                  std::function<void(std::function<void()>)> post);
  ~RouterShardImpl() override;

  RequestId Submit(GenerateRequest request, ResponseSink& sink) override;
  RequestId Embed(EmbeddingRequest request, EmbeddingSink& sink) override;
  void Cancel(RequestId id) override;
  void Tick() override;
  int32_t requests_in_flight() const override {
    return static_cast<int32_t>(requests_.size() + embeddings_.count());
  }
  void SetObserver(RequestObserver* observer) override {
    observer_ = observer;
    embeddings_.SetObserver(observer);
  }

  // What the router posts to, from any thread, also after the shard's end.
  class Inbox {
   public:
    // `shard` is cleared, on its thread, when the shard ends.
    struct Link {
      RouterShardImpl* shard;
    };
    Inbox(std::shared_ptr<ShardMailbox> mailbox, std::shared_ptr<Link> link)
        : mailbox_(std::move(mailbox)), link_(std::move(link)) {}
    void PostEvents(std::vector<UpstreamEvent> events);
    void PostFailAll(GenerateError error);

   private:
    const std::shared_ptr<ShardMailbox> mailbox_;
    const std::shared_ptr<Link> link_;  // dereferenced on the shard's thread only
  };
  std::shared_ptr<Inbox> inbox() const { return inbox_; }

 private:
  struct Request;
  struct Sequence {
    RequestId request;
    SequenceRef ref;
  };

  void OnEvents(std::vector<UpstreamEvent> events);
  void OnEvent(UpstreamEvent& event, std::vector<RequestId>& touched);
  void FailAll(const GenerateError& error);
  Request* Find(RequestId id);
  // Does what the flow wants. `may_tell_sink`: else what is for the sink, and all after it, waits
  // for a posted turn. The request may be gone afterwards.
  void CarryOut(Request& request, FlowActions actions, bool may_tell_sink);
  void CarryOutOne(Request& request, FlowAction action, FlowActions& more);
  void Choose(Request& request, const ChooseReplicaAction& action, FlowActions& more);
  static void NoteNumerics(Request& request, std::span<const int32_t> choices, uint64_t numerics);
  void SubmitSequence(Request& request, const SubmitAction& action, FlowActions& more);
  void CancelSequence(Request& request, const CancelSequenceAction& action);
  void TellSink(Request& request, const FlowAction& action);
  // Whether somebody else has it done, instead of the failure that `why` would be.
  static bool IsTakenElsewhere(Request& request, const GenerateError& why);
  // It waits too long. Call from a turn of its own: the sink hears of it.
  void OfferElsewhere(RequestId id);
  void PostOffer(RequestId id);
  void NoteDelta(Request& request, const EmitDeltaAction& delta);
  void Post(RequestId id, FlowActions actions);
  void Forget(Request& request);
  void Observe(const Request& request);
  void TellProgress(Request& request);
  int64_t PromptTokensEstimate(size_t prompt_bytes) const;

  const int32_t index_;
  const RouterLimits limits_;
  const AdmissionLimits admission_limits_;
  const ReplicaDirectory& directory_;
  const Clock& clock_;
  const std::shared_ptr<ShardMailbox> mailbox_;
  const std::shared_ptr<Inbox::Link> link_;
  const std::shared_ptr<Inbox> inbox_;
  RequestMetrics metrics_;
  EmbeddingFlows embeddings_;
  RequestObserver* observer_ = nullptr;
  std::mt19937_64 random_;
  ResumeBudget resume_budget_;
  std::unordered_map<RequestId, std::unique_ptr<Request>> requests_;
  std::unordered_map<uint64_t, Sequence> sequences_;
  uint64_t next_request_ = 1;
  uint64_t next_sequence_ = 1;
  absl::Time next_progress_ = absl::InfinitePast();
  double bytes_per_prompt_token_ = 4;  // a running average; 4 is usual for English text
};

}  // namespace spillway
