#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "router/replica_directory.h"
#include "router/request_observer.h"
#include "router/router.h"
#include "router/router_metrics.h"
#include "router/token_account.h"

namespace spillway {

// The requests for embeddings of one shard. Each goes to the workers in parts of no more than they
// take at once; the parts are spread over the replicas. A part whose worker is away or full goes to
// another, up to resubmissions_max times; one that fails for good ends the request.
//
// Threading: the shard's thread only. `post` may be called from any, and runs what it is given on
// that thread while this object lives.
class EmbeddingFlows {
 public:
  using Post = std::function<void(std::function<void(EmbeddingFlows&)>)>;

  // A text over text_bytes_max is refused: no worker takes it.
  struct Limits {
    size_t text_bytes_max = 1u << 20;
    size_t part_bytes = 1u << 20;  // of a part's texts, unless it has but one
  };

  // All references outlive it.
  EmbeddingFlows(int32_t shard, const RouterLimits& limits, const ReplicaDirectory& directory,
                 const Clock& clock, RequestMetrics& metrics, Post post);
  ~EmbeddingFlows();

  // `full`: the shard has no room; the request is refused.
  void Start(RequestId id, EmbeddingRequest request, EmbeddingSink& sink, bool full);
  // False: it isn't one of these.
  bool Cancel(RequestId id);
  void FailAll(const GenerateError& error);
  size_t count() const { return flows_.size(); }
  void SetObserver(RequestObserver* observer) { observer_ = observer; }

 private:
  struct Part {
    size_t begin = 0;  // of its inputs in the request
    size_t end = 0;
    uint64_t call_id = 0;
    ReplicaKey replica;
    bool done = false;
    std::vector<ReplicaKey> excluded;  // that were away or full
  };
  struct Flow {
    EmbeddingRequest request;
    EmbeddingSink* sink = nullptr;
    std::string service = "none";
    std::string replica;  // that it was sent to last
    absl::Time asked;
    absl::Time deadline;
    std::vector<Part> parts;
    size_t unfinished = 0;
    EmbeddingAnswer answer;
    QuotaReservation quota;
  };

  // Fails the flow later, on a turn of its own.
  void PostFailure(RequestId id, GenerateError error);
  void Begin(RequestId id, Flow& flow);
  std::vector<Part> Split(const EmbeddingRequest& request, size_t inputs_max) const;
  // Chooses a replica for the part and sends it there.
  void Send(RequestId id, Flow& flow, size_t part);
  void OnPart(RequestId id, size_t part, uint64_t call_id, absl::StatusOr<EmbedPart> result);
  void Fail(RequestId id, const GenerateError& error);
  void CancelCalls(const Flow& flow);
  void End(RequestId id, std::string_view outcome, int http_status);

  const int32_t shard_;
  const RouterLimits router_limits_;
  const Limits limits_ = {};
  const ReplicaDirectory& directory_;
  const Clock& clock_;
  RequestMetrics& metrics_;
  const Post post_;
  RequestObserver* observer_ = nullptr;
  std::unordered_map<RequestId, Flow> flows_;
  uint64_t next_call_ = 1;
  size_t turn_ = 0;  // which of the replicas is next
};

}  // namespace spillway
