#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "router/embedding_request.h"
#include "router/generate_request.h"
#include "router/request_observer.h"
#include "router/worker_credentials.h"

namespace spillway {

// Why a request was refused or broken off. `reason` is a fixed word, also a metric label; the
// dialects turn code and reason into their own shape (docs/architecture.md has the table).
struct GenerateError {
  absl::Status status;  // its message is for people
  // "model_not_found", "context_length_exceeded", "queue_full", "no_ready_replica",
  // "predicted_wait_over_deadline", "deadline", "worker_lost", "invalid_request", "draining", …
  std::string reason;
  absl::Duration retry_after = absl::ZeroDuration();  // zero: retrying won't help or is unknown
  // Of the request, that is wrong, as proto/worker.proto has it; empty where it is none.
  std::string field = {};
};

// Hears of one request's fate, on its shard's thread. For each choice: OnDelta…, then OnFinished;
// or once, for the whole request and at any time, OnFailed, after which nothing more comes.
class ResponseSink {
 public:
  virtual ~ResponseSink() = default;
  // All choices are tokenized, fit and are queued. No HTTP status is sent before.
  virtual void OnAccepted(int32_t prompt_tokens) = 0;
  // The first choice has its KV blocks: prefill begins.
  virtual void OnStarted(int32_t cached_tokens) = 0;
  // `delta` is never empty and is valid during the call only; `token_count` counts the choice's
  // tokens since its last delta, those with no text of their own included.
  virtual void OnDelta(int32_t choice, const OutputDelta& delta, int32_t token_count) = 0;
  // `usage` is this choice's: all choices of a request have the same prompt tokens.
  virtual void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) = 0;
  virtual void OnFailed(const GenerateError& error) = 0;
  // Asked instead of OnFailed() where the workers here are exhausted and none has accepted it, and
  // once where it waits longer than its spill_after: whether it is done elsewhere. True: nothing
  // more comes. It may cancel other requests, but not this one.
  virtual bool TakeElsewhere(const GenerateError& /*why*/) { return false; }
  // All that this step (one worker frame) had for this request has been told: a good moment to
  // write. Not called after OnFailed or the last OnFinished (those are such moments themselves).
  virtual void OnBatchEnd() = 0;
};

// Hears once what became of a request for embeddings, on its shard's thread.
class EmbeddingSink {
 public:
  virtual ~EmbeddingSink() = default;
  virtual void OnEmbedded(const EmbeddingAnswer& answer) = 0;
  virtual void OnEmbeddingFailed(const GenerateError& error) = 0;
};

enum class RequestId : uint64_t {};

struct RouterLimits {
  int32_t requests_max = 4096;          // in flight on one shard
  int32_t choices_max = 128;            // n of one request
  int32_t resubmissions_max = 3;        // of one sequence, after lost workers
  size_t resume_bytes_max = 64u << 20;  // prompts and tokens kept for resumes, on one shard
  absl::Duration return_wait = absl::Seconds(5);   // of new requests, for a replica that returns
  absl::Duration resume_wait = absl::Seconds(10);  // of those that a lost worker had, for any
};

// The part of the router that one server thread owns: the flows of that thread's connections.
//
// Threading: all calls from the thread that runs the `post` functor it was made with; so are all
// calls to its sinks, never from within Submit() or Cancel().
class RouterShard {
 public:
  virtual ~RouterShard() = default;

  // Starts a request. `sink` must live until OnFailed, the last OnFinished, or Cancel().
  virtual RequestId Submit(GenerateRequest request, ResponseSink& sink) = 0;

  // Likewise, for embeddings. `sink` must live until it has heard, or Cancel().
  virtual RequestId Embed(EmbeddingRequest request, EmbeddingSink& sink) = 0;

  // The client has gone: the sink hears nothing more, the worker frees the KV within one step.
  // Unknown ids (ended a moment ago) are ignored.
  virtual void Cancel(RequestId id) = 0;

  // Deadlines. Call about every 50 ms.
  virtual void Tick() = 0;

  virtual int32_t requests_in_flight() const = 0;

  // Null: nobody. It must outlive the shard.
  virtual void SetObserver(RequestObserver*) {}
};

struct ModelInfo {
  std::string name;
  int32_t context_tokens_max = 0;
  absl::Time created;  // wall time when the first replica was ready
  // Of its replicas, each once: equal ids give equal text for equal requests.
  std::vector<std::string> numerics_ids = {};
  int32_t embedding_size = 0;  // numbers in a vector; 0: it generates
  // Of its first replica's file, both empty until it has answered.
  std::string content_hash = {};
  std::string architecture = {};
  bool takes_tools = false;    // its chat template shows the model a request's tools
  bool has_reasoning = false;  // its chat template marks what the model thinks
};

struct ReplicaStatus {
  std::string name;     // "worker-0"
  std::string address;  // gRPC target
  bool ready = false;
  std::string reason;  // why not ready
  int32_t running = 0;
  int32_t waiting = 0;
  int32_t kv_blocks_free = 0;
  int32_t kv_blocks_total = 0;
  std::string model;  // what it serves, empty while that isn't known
  int32_t running_max = 0;
  int32_t waiting_max = 0;
  double step_ms = 0;  // this and the rates: 0: not measured yet
  double prefill_tokens_per_s = 0;
  double decode_tokens_per_s = 0;
};

// Services, their replicas and the streams to them. Makes one shard per server thread.
//
// Thread-safe but for the shards. Owns a gRPC stream per replica; reconnects with back-off.
class Router {
 public:
  virtual ~Router() = default;

  // `post` runs a function on the shard's thread; it is called from gRPC's threads and must not
  // block. All shards are made before the first AddReplica and outlive no router.
  virtual std::unique_ptr<RouterShard> MakeShard(
      std::function<void(std::function<void()>)> post) = 0;

  // A worker to send work to, by gRPC target ("unix:/…", "host:port"). It serves as soon as it
  // answers Describe; Attach is kept up until RemoveReplica or Shutdown. `model` is what it will
  // serve, so that requests for it find no ready replica until then instead of no model; empty:
  // the worker tells.
  virtual void AddReplica(const std::string& name, const std::string& target,
                          const std::string& model) = 0;
  virtual void RemoveReplica(const std::string& name) = 0;

  // Why the process behind a replica isn't there, by the word of whoever watches over it: says more
  // than that nobody answers, and so becomes the replica's reason until it is ready again. Unknown
  // names are ignored.
  virtual void ExplainReplica(const std::string& name, const std::string& why) = 0;

  virtual std::vector<ModelInfo> Models() const = 0;
  // Whether `model` means one that a replica here serves or will serve, be it ready or not.
  virtual bool Serves(const std::string& /*model*/) const { return false; }
  virtual std::vector<ReplicaStatus> Replicas() const = 0;

  // Refuses new requests ("draining"); those in flight go on.
  virtual void SetDraining(bool draining) = 0;

  // Closes all streams and waits for that. Every request still in flight fails ("draining"), told
  // on its shard's thread soon after. Not to be called from inside `post`.
  virtual void Shutdown() = 0;
};

// `random_seed` seeds all its random choices (replicas, seeds of requests without one); none: the
// machine's entropy does. `worker_tls` is for workers at TCP addresses. `clock` and `metrics`
// outlive the router.
std::unique_ptr<Router> MakeRouter(const RouterLimits& limits, const Clock& clock,
                                   MetricRegistry& metrics,
                                   std::optional<uint64_t> random_seed = std::nullopt,
                                   const WorkerTlsFiles& worker_tls = {});

}  // namespace spillway
