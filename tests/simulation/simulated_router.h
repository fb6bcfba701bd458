#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/metrics.h"
#include "router/return_forecast.h"
#include "router/router_shard.h"
#include "router/worker_upstream_link.h"
#include "tests/simulation/simulated_worker.h"
#include "tests/simulation/virtual_time.h"

namespace spillway {

// What the network between a router and its workers does. Messages of one direction of one stream
// stay in order. One that breaks may lose what is under way, or bring it late, when the next stream
// has begun.
struct NetworkWeather {
  absl::Duration delay_max = absl::Milliseconds(5);
};

// One connection of a router: the real UpstreamLink over streams that delay and break.
class SimulatedUpstream : public SequenceCarrier, public RouterEnd {
 public:
  // All outlive it. `deliver` gets the events, `changed` the news of status().
  SimulatedUpstream(ReplicaId id, const std::string& router_id, SimulatedWorker& worker,
                    VirtualTime& time, const NetworkWeather& weather,
                    std::function<void(std::vector<UpstreamEvent>)> deliver,
                    std::function<void()> changed);

  absl::Status Submit(uint64_t attachment, uint64_t sequence_id,
                      const SequenceSubmission& submission) override;
  void Cancel(uint64_t sequence_id) override;
  const UpstreamStatus& status() const { return link_.status(); }
  size_t live_count() const { return link_.live_count(); }

  // Breaks the stream there is. Each end hears of it in its own time; at most `half_open_max`
  // later.
  void BreakStream(absl::Duration half_open_max);

  // Its process is gone. `connections_reset`: its machine is there and says so.
  void Die(bool connections_reset);

  // What the link said of a worker that broke the protocol; none here does.
  const std::string& complaint() const { return complaint_; }

  void OnFrame(StreamId stream, const wire::WorkerFrame& frame) override;
  void OnCut(StreamId stream) override;
  void OnDied(StreamId stream, bool connections_reset) override;

 private:
  struct Stream {
    AttachId attach{};
    bool closed = false;          // nothing more is sent, either way
    bool lost_to_worker = false;  // nor does what is under way arrive
    bool lost_to_router = false;
    absl::Time to_worker;  // when the last message arrives
    absl::Time to_router;
  };

  void CarryOut(LinkActions actions);
  void Attach(const AttachAction& action);
  void ScheduleTick();
  // When a message that is sent now arrives, not before `*last`, which is moved there.
  absl::Duration Arrival(absl::Time* last);
  // The router's end of the stream is told, `delay` from now, and hears nothing after that.
  void Ended(StreamId stream, std::string why, bool nobody_listens, absl::Duration delay);

  VirtualTime& time_;
  SimulatedWorker& worker_;
  const NetworkWeather& weather_;
  const std::function<void(std::vector<UpstreamEvent>)> deliver_;
  const std::function<void()> changed_;
  UpstreamLink link_;
  std::map<StreamId, Stream> streams_;
  std::map<AttachId, StreamId> by_attach_;
  absl::Time next_tick_ = absl::InfiniteFuture();
  bool dead_ = false;
  std::string complaint_;
};

// One router process: a real shard, its upstreams, and what it knows of its replicas.
class SimulatedRouter : public ReplicaDirectory {
 public:
  SimulatedRouter(const std::string& router_id, const RouterLimits& limits,
                  const std::vector<SimulatedWorker*>& workers, VirtualTime& time,
                  const NetworkWeather& weather);

  void Die(bool connections_reset);
  bool alive() const { return alive_; }

  RouterShard& shard() { return *shard_; }
  SimulatedUpstream& upstream(size_t worker) { return *upstreams_[worker]; }
  size_t upstream_count() const { return upstreams_.size(); }
  std::string Scrape() const { return metrics_.Scrape(); }

  absl::StatusOr<View> Find(const std::string& model) const override;
  std::shared_ptr<SequenceCarrier> Upstream(ReplicaId id) const override;
  std::string ReplicaName(ReplicaId) const override { return "simulated"; }
  bool draining() const override { return false; }

 private:
  void ScheduleTick();

  VirtualTime& time_;
  MetricRegistry metrics_;
  std::unique_ptr<RouterShardImpl> shard_;
  std::vector<std::shared_ptr<SimulatedUpstream>> upstreams_;
  std::vector<ReturnForecast> forecasts_;
  bool alive_ = true;
};

}  // namespace spillway
