#include "router/router.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "router/replica_metrics.h"
#include "router/return_forecast.h"
#include "router/router_shard.h"
#include "router/service.h"
#include "router/worker_upstream.h"

namespace spillway {
namespace {

uint64_t EntropySeed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

// One worker with what is told of it. Its upstream is stopped before it goes.
struct Replica {
  ReplicaId id;
  std::string name;
  std::string target;
  std::string model;  // as AddReplica() said; may be empty
  std::shared_ptr<ReplicaMetrics> metrics;
  std::shared_ptr<WorkerUpstream> upstream;
  ReturnForecast forecast;
  bool was_ready = false;   // as last logged
  std::string explanation;  // ExplainReplica(); empty once it is ready
};

class RouterImpl : public Router, public ReplicaDirectory {
 public:
  RouterImpl(const RouterLimits& limits, const Clock& clock, MetricRegistry& metrics, uint64_t seed,
             const WorkerTlsFiles& worker_tls)
      : limits_(limits),
        clock_(clock),
        metrics_(metrics),
        worker_credentials_(MakeWorkerCredentials(worker_tls)),
        random_(seed),
        router_id_(absl::StrFormat("%016x", random_())) {}
  ~RouterImpl() override { Shutdown(); }

  std::unique_ptr<RouterShard> MakeShard(std::function<void(std::function<void()>)> post) override;
  void AddReplica(const std::string& name, const std::string& target,
                  const std::string& model) override;
  void RemoveReplica(const std::string& name) override;
  void ExplainReplica(const std::string& name, const std::string& why) override;
  std::vector<ModelInfo> Models() const override;
  bool Serves(const std::string& model) const override {
    const auto view = Find(model);
    return view.ok() && !view->service.empty();
  }
  std::vector<ReplicaStatus> Replicas() const override;
  void SetDraining(bool draining) override { draining_ = draining; }
  void Shutdown() override;

  absl::StatusOr<View> Find(const std::string& model) const override {
    return FindFor(/*embedding=*/false, model);
  }
  absl::StatusOr<View> FindForEmbedding(const std::string& model) const override {
    return FindFor(/*embedding=*/true, model);
  }
  std::shared_ptr<SequenceCarrier> Upstream(ReplicaId id) const override;
  std::shared_ptr<TextEmbedder> Embedder(ReplicaId id) const override;
  std::string ReplicaName(ReplicaId id) const override;
  bool draining() const override { return draining_; }

 private:
  absl::StatusOr<View> FindFor(bool embedding, const std::string& model) const EXCLUDES(mutex_);
  void OnReplicaChanged(ReplicaId id) EXCLUDES(mutex_);
  std::vector<Replica>::const_iterator FindReplica(ReplicaId id) const REQUIRES(mutex_) {
    return std::find_if(replicas_.begin(), replicas_.end(),
                        [id](const Replica& replica) { return replica.id == id; });
  }
  std::vector<Replica>::iterator FindReplica(ReplicaId id) REQUIRES(mutex_) {
    return std::find_if(replicas_.begin(), replicas_.end(),
                        [id](const Replica& replica) { return replica.id == id; });
  }
  std::vector<Replica> ReplicasCopy() const;

  const RouterLimits limits_;
  const Clock& clock_;
  MetricRegistry& metrics_;
  const std::shared_ptr<grpc::ChannelCredentials> worker_credentials_;  // may be null
  std::atomic<bool> draining_ = false;

  mutable Mutex mutex_;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
  const std::string router_id_;
  std::vector<Replica> replicas_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<RouterShardImpl::Inbox>> inboxes_ GUARDED_BY(mutex_);
  std::map<std::string, absl::Time> first_ready_ GUARDED_BY(mutex_);  // by model
  int32_t next_replica_ GUARDED_BY(mutex_) = 0;
  bool shut_down_ GUARDED_BY(mutex_) = false;
};

std::unique_ptr<RouterShard> RouterImpl::MakeShard(
    std::function<void(std::function<void()>)> post) {
  MutexLock lock(mutex_);
  // Upstreams hold a copy of the list as it was when they were made.
  CHECK(next_replica_ == 0);
  const auto index = static_cast<int32_t>(inboxes_.size());
  auto shard = std::make_unique<RouterShardImpl>(index, limits_, random_(), *this, clock_, metrics_,
                                                 std::move(post));
  inboxes_.push_back(shard->inbox());
  return shard;
}

void RouterImpl::AddReplica(const std::string& name, const std::string& target,
                            const std::string& model) {
  MutexLock lock(mutex_);
  if (shut_down_) return;
  const ReplicaId id{next_replica_++};
  auto metrics = std::make_shared<ReplicaMetrics>(metrics_, name);
  // Until it is in the list, OnReplicaChanged() waits for this lock: no news is lost.
  auto upstream = std::make_shared<WorkerUpstream>(
      id, target, router_id_, UpstreamLimits{}, clock_,
      WorkerUpstream::Callbacks{
          .deliver =
              [inboxes = inboxes_](int32_t shard, std::vector<UpstreamEvent> events) {
                inboxes[static_cast<size_t>(shard)]->PostEvents(std::move(events));
              },
          .changed = [this, id] { OnReplicaChanged(id); }},
      worker_credentials_);
  replicas_.push_back({.id = id,
                       .name = name,
                       .target = target,
                       .model = model,
                       .metrics = std::move(metrics),
                       .upstream = std::move(upstream)});
}

void RouterImpl::RemoveReplica(const std::string& name) {
  std::vector<Replica> removed;
  {
    MutexLock lock(mutex_);
    for (const Replica& replica : replicas_) {
      if (replica.name == name) removed.push_back(replica);
    }
    std::erase_if(replicas_, [&](const Replica& replica) { return replica.name == name; });
  }
  for (const Replica& replica : removed) {
    replica.upstream->Stop();
    MutexLock lock(mutex_);
    replica.metrics->Set({}, "");
  }
}

void RouterImpl::ExplainReplica(const std::string& name, const std::string& why) {
  MutexLock lock(mutex_);
  const auto found = std::ranges::find(replicas_, name, &Replica::name);
  if (found != replicas_.end()) found->explanation = why;
}

void RouterImpl::OnReplicaChanged(ReplicaId id) {
  MutexLock lock(mutex_);
  const auto found = FindReplica(id);
  if (found == replicas_.end()) return;
  // Under the lock, so that of two calls the later one has the later status.
  const UpstreamStatus status = found->upstream->status();
  found->metrics->Set(status.snapshot,
                      status.model_name.empty() ? found->model : status.model_name);
  if (status.snapshot.ready) {
    found->forecast.OnReady(clock_.Now(), status.instance_id);
    found->explanation.clear();
  } else {
    found->forecast.OnLost(clock_.Now());
  }
  const bool ready = status.snapshot.ready && !status.snapshot.draining;
  if (ready) first_ready_.try_emplace(status.model_name, clock_.WallNow());
  if (found->was_ready == ready) return;
  found->was_ready = ready;
  if (shut_down_) return;  // It is our own doing.
  if (ready) {
    LogInfo(absl::StrCat("replica ", found->name, " is ready and serves ", status.model_name));
  } else {
    LogWarning(absl::StrCat("replica ", found->name, " is not ready: ", status.reason));
  }
}

std::vector<Replica> RouterImpl::ReplicasCopy() const {
  MutexLock lock(mutex_);
  return replicas_;
}

absl::StatusOr<ReplicaDirectory::View> RouterImpl::FindFor(bool embedding,
                                                           const std::string& model) const {
  std::vector<std::string> services;
  std::vector<std::string> unfit;  // services that only a name can mean
  std::vector<UpstreamStatus> statuses;
  const absl::Time now = clock_.Now();
  for (Replica& replica : ReplicasCopy()) {
    UpstreamStatus status = replica.upstream->status();
    if (status.model_name.empty()) status.model_name = replica.model;
    if (status.model_name.empty()) continue;
    // A loss shows in the status a moment before OnReplicaChanged() hears of it.
    if (!status.snapshot.ready) replica.forecast.OnLost(now);
    status.snapshot.returning = !status.snapshot.ready && replica.forecast.ExpectedBack(now);
    const bool fit = embedding ? status.snapshot.embed_inputs_max > 0 : status.snapshot.generates;
    std::vector<std::string>& list = fit ? services : unfit;
    if (std::find(list.begin(), list.end(), status.model_name) == list.end()) {
      list.push_back(status.model_name);
    }
    statuses.push_back(std::move(status));
  }
  services.insert(services.end(), unfit.begin(), unfit.end());
  if (services.empty()) return View{};
  const absl::StatusOr<std::string> service = ResolveService(model, services);
  if (!service.ok()) return service.status();
  View view{.service = *service, .replicas = {}};
  for (const UpstreamStatus& status : statuses) {
    if (status.model_name == *service) view.replicas.push_back(status.snapshot);
  }
  return view;
}

std::shared_ptr<SequenceCarrier> RouterImpl::Upstream(ReplicaId id) const {
  MutexLock lock(mutex_);
  const auto found = FindReplica(id);
  return found == replicas_.end() ? nullptr : found->upstream;
}

std::shared_ptr<TextEmbedder> RouterImpl::Embedder(ReplicaId id) const {
  MutexLock lock(mutex_);
  const auto found = FindReplica(id);
  return found == replicas_.end() ? nullptr : found->upstream;
}

std::string RouterImpl::ReplicaName(ReplicaId id) const {
  MutexLock lock(mutex_);
  const auto found = FindReplica(id);
  return found == replicas_.end() ? "" : found->name;
}

std::vector<ModelInfo> RouterImpl::Models() const {
  std::vector<ModelInfo> models;
  for (const Replica& replica : ReplicasCopy()) {
    const UpstreamStatus status = replica.upstream->status();
    if (status.model_name.empty()) continue;
    const auto found = std::find_if(models.begin(), models.end(), [&](const ModelInfo& model) {
      return model.name == status.model_name;
    });
    if (found != models.end()) {
      // What every replica can take.
      found->context_tokens_max = std::min(found->context_tokens_max, status.context_tokens_max);
      if (std::ranges::find(found->numerics_ids, status.numerics_id) == found->numerics_ids.end()) {
        found->numerics_ids.push_back(status.numerics_id);
      }
      continue;
    }
    MutexLock lock(mutex_);
    const auto ready = first_ready_.find(status.model_name);
    models.push_back({.name = status.model_name,
                      .context_tokens_max = status.context_tokens_max,
                      .created = ready == first_ready_.end() ? clock_.WallNow() : ready->second,
                      .numerics_ids = {status.numerics_id},
                      .embedding_size = status.embedding_size,
                      .content_hash = status.model_hash,
                      .architecture = status.architecture,
                      .takes_tools = status.takes_tools,
                      .has_reasoning = status.has_reasoning});
  }
  return models;
}

std::vector<ReplicaStatus> RouterImpl::Replicas() const {
  std::vector<ReplicaStatus> statuses;
  for (const Replica& replica : ReplicasCopy()) {
    const UpstreamStatus status = replica.upstream->status();
    const ReplicaLoad& load = status.snapshot.load;
    const bool explained = !status.snapshot.ready && !replica.explanation.empty();
    statuses.push_back({.name = replica.name,
                        .address = replica.target,
                        .ready = status.snapshot.ready && !status.snapshot.draining,
                        .reason = explained ? replica.explanation : status.reason,
                        .running = load.running,
                        .waiting = load.waiting,
                        .kv_blocks_free = load.kv_blocks_free,
                        .kv_blocks_total = load.kv_blocks_total,
                        .model = status.model_name.empty() ? replica.model : status.model_name,
                        .running_max = status.snapshot.running_max,
                        .waiting_max = status.snapshot.waiting_max,
                        .step_ms = load.step_ms,
                        .prefill_tokens_per_s = load.prefill_tokens_per_s,
                        .decode_tokens_per_s = load.decode_tokens_per_s});
  }
  return statuses;
}

void RouterImpl::Shutdown() {
  std::vector<Replica> replicas;
  std::vector<std::shared_ptr<RouterShardImpl::Inbox>> inboxes;
  {
    MutexLock lock(mutex_);
    if (shut_down_) return;
    shut_down_ = true;
    replicas = replicas_;
    inboxes = inboxes_;
  }
  draining_ = true;
  // Before the streams close, so that no request seeks another replica.
  for (const auto& inbox : inboxes) {
    inbox->PostFailAll(
        {.status = absl::UnavailableError("the server is shutting down"), .reason = "draining"});
  }
  for (const Replica& replica : replicas) replica.upstream->Stop();
}

}  // namespace

std::unique_ptr<Router> MakeRouter(const RouterLimits& limits, const Clock& clock,
                                   MetricRegistry& metrics, std::optional<uint64_t> random_seed,
                                   const WorkerTlsFiles& worker_tls) {
  return std::make_unique<RouterImpl>(
      limits, clock, metrics, random_seed.has_value() ? *random_seed : EntropySeed(), worker_tls);
}

}  // namespace spillway
