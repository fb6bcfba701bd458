#include "tests/simulation/simulated_router.h"

#include <algorithm>
#include <utility>

#include "router/worker_wire.h"

namespace spillway {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);

}  // namespace

SimulatedUpstream::SimulatedUpstream(ReplicaId id, const std::string& router_id,
                                     SimulatedWorker& worker, VirtualTime& time,
                                     const NetworkWeather& weather,
                                     std::function<void(std::vector<UpstreamEvent>)> deliver,
                                     std::function<void()> changed)
    : time_(time),
      worker_(worker),
      weather_(weather),
      deliver_(std::move(deliver)),
      changed_(std::move(changed)),
      link_(id, router_id, UpstreamLimits{}) {
  LinkActions actions;
  link_.Start(actions);
  CarryOut(std::move(actions));
}

absl::Duration SimulatedUpstream::Arrival(absl::Time* last) {
  const auto delay_max = static_cast<int32_t>(absl::ToInt64Milliseconds(weather_.delay_max));
  *last = std::max(*last, time_.Now() + time_.MillisecondsBetween(0, delay_max));
  return *last - time_.Now();
}

absl::Status SimulatedUpstream::Submit(uint64_t attachment, uint64_t sequence_id,
                                       const SequenceSubmission& submission) {
  LinkActions actions;
  absl::Status status =
      link_.Submit(attachment, sequence_id, submission.prompt_tokens_estimate,
                   ToSubmitFrames(sequence_id, ToGenerateSpec(submission), 1 << 20), 0, actions);
  CarryOut(std::move(actions));
  return status;
}

void SimulatedUpstream::Cancel(uint64_t sequence_id) {
  LinkActions actions;
  link_.Cancel(sequence_id, actions);
  CarryOut(std::move(actions));
}

void SimulatedUpstream::CarryOut(LinkActions actions) {
  if (dead_) return;
  for (const char* breach : {"sent frame", "spoke before", "said Welcome twice"}) {
    const std::string& reason = link_.status().reason;
    if (complaint_.empty() && reason.find(breach) != std::string::npos) complaint_ = reason;
  }
  for (LinkAction& action : actions) {
    if (std::holds_alternative<DescribeAction>(action)) {
      const bool answers = worker_.alive() && !worker_.hung();
      const absl::Duration delay =
          worker_.alive() && !answers ? absl::Seconds(5) : time_.MillisecondsBetween(1, 10);
      time_.After(delay, [this, answers] {
        LinkActions more;
        if (answers && worker_.alive()) {
          link_.OnDescribed(worker_.Describe(), time_.Now(), more);
        } else {
          link_.OnDescribeFailed("simulated", time_.Now(), more);
        }
        CarryOut(std::move(more));
      });
    } else if (auto* attach = std::get_if<AttachAction>(&action)) {
      Attach(*attach);
    } else if (auto* write = std::get_if<WriteAction>(&action)) {
      const auto found = by_attach_.find(write->attach);
      if (found == by_attach_.end()) continue;
      const StreamId id = found->second;
      Stream& stream = streams_.at(id);
      if (stream.closed) continue;
      time_.After(Arrival(&stream.to_worker), [this, id, frame = std::move(write->frame)] {
        if (!streams_.at(id).lost_to_worker) worker_.OnFrame(id, frame);
      });
    } else if (const auto* cut = std::get_if<BreakAction>(&action)) {
      const auto found = by_attach_.find(cut->attach);
      if (found == by_attach_.end()) continue;
      // What has arrived may be on its way to the link still.
      const StreamId id = found->second;
      streams_.at(id).closed = true;
      Ended(id, "broken off", false, time_.MillisecondsBetween(0, 50));
      time_.After(time_.MillisecondsBetween(0, 50), [this, id] { worker_.OnGone(id); });
    } else {
      deliver_(std::move(std::get<DeliverAction>(action).events));
    }
  }
  ScheduleTick();
  changed_();
}

void SimulatedUpstream::Attach(const AttachAction& action) {
  if (!worker_.alive()) {
    time_.After(time_.MillisecondsBetween(0, 10), [this, attach = action.attach] {
      LinkActions more;
      link_.OnEnded(attach, "simulated refusal", /*nobody_listens=*/true, time_.Now(), more);
      CarryOut(std::move(more));
    });
    return;
  }
  const StreamId id = worker_.Open(*this);
  streams_[id] = {.attach = action.attach};
  by_attach_[action.attach] = id;
  CarryOut({WriteAction{.attach = action.attach, .frame = action.hello}});
}

void SimulatedUpstream::ScheduleTick() {
  const absl::Time due = link_.next_tick();
  if (due >= next_tick_) return;
  next_tick_ = due;
  time_.After(std::max(absl::ZeroDuration(), due - time_.Now()), [this, due] {
    if (next_tick_ == due) next_tick_ = absl::InfiniteFuture();
    LinkActions actions;
    link_.Tick(time_.Now(), actions);
    CarryOut(std::move(actions));
  });
}

void SimulatedUpstream::OnFrame(StreamId id, const wire::WorkerFrame& frame) {
  Stream& stream = streams_.at(id);
  if (stream.closed) return;
  time_.After(Arrival(&stream.to_router), [this, id, frame = wire::WorkerFrame(frame)]() mutable {
    if (streams_.at(id).lost_to_router) return;
    LinkActions actions;
    link_.OnFrame(streams_.at(id).attach, frame, time_.Now(), actions);
    CarryOut(std::move(actions));
  });
}

void SimulatedUpstream::Ended(StreamId id, std::string why, bool nobody_listens,
                              absl::Duration delay) {
  time_.After(delay, [this, id, why = std::move(why), nobody_listens] {
    Stream& stream = streams_.at(id);
    stream.closed = true;
    stream.lost_to_router = true;
    if (by_attach_.erase(stream.attach) == 0) return;  // It was told before.
    LinkActions actions;
    link_.OnEnded(stream.attach, why, nobody_listens, time_.Now(), actions);
    CarryOut(std::move(actions));
  });
}

void SimulatedUpstream::OnCut(StreamId id) {
  Ended(id, "cut by the worker", false, Arrival(&streams_.at(id).to_router));
}

void SimulatedUpstream::OnDied(StreamId id, bool connections_reset) {
  Stream& stream = streams_.at(id);
  stream.closed = true;
  stream.lost_to_worker = true;
  // Without a reset only its silence tells.
  if (connections_reset) Ended(id, "reset", false, Arrival(&stream.to_router));
}

void SimulatedUpstream::BreakStream(absl::Duration half_open_max) {
  const auto late = [&] {
    return time_.MillisecondsBetween(
        0, static_cast<int32_t>(absl::ToInt64Milliseconds(half_open_max)));
  };
  for (auto& [id, stream] : streams_) {
    if (stream.closed) continue;
    stream.closed = true;
    stream.lost_to_worker = time_.Percent(50);
    stream.lost_to_router = time_.Percent(50);
    Ended(id, "broken", false, late());
    time_.After(late(), [this, gone = id] { worker_.OnGone(gone); });
  }
}

void SimulatedUpstream::Die(bool connections_reset) {
  dead_ = true;
  for (auto& [id, stream] : streams_) {
    if (stream.closed) continue;
    stream.closed = true;
    stream.lost_to_router = true;
    if (!connections_reset) continue;  // What hears nothing of it must notice the silence.
    time_.After(Arrival(&stream.to_worker), [this, gone = id] { worker_.OnGone(gone); });
  }
}

SimulatedRouter::SimulatedRouter(const std::string& router_id, const RouterLimits& limits,
                                 const std::vector<SimulatedWorker*>& workers, VirtualTime& time,
                                 const NetworkWeather& weather)
    : time_(time), forecasts_(workers.size()) {
  shard_ = std::make_unique<RouterShardImpl>(
      0, limits, time.Draw(), *this, time, metrics_,
      [&time](std::function<void()> function) { time.After({}, std::move(function)); });
  for (size_t i = 0; i < workers.size(); ++i) {
    upstreams_.push_back(std::make_shared<SimulatedUpstream>(
        ReplicaId{static_cast<int32_t>(i)}, router_id, *workers[i], time, weather,
        [this](std::vector<UpstreamEvent> events) {
          shard_->inbox()->PostEvents(std::move(events));
        },
        [this, i] {
          if (i >= upstreams_.size()) return;  // It is being made.
          const bool ready = upstreams_[i]->status().snapshot.ready;
          if (ready) forecasts_[i].OnReady(time_.Now(), upstreams_[i]->status().instance_id);
          if (!ready) forecasts_[i].OnLost(time_.Now());
        }));
  }
  ScheduleTick();
}

void SimulatedRouter::Die(bool connections_reset) {
  alive_ = false;
  for (const auto& upstream : upstreams_) upstream->Die(connections_reset);
}

void SimulatedRouter::ScheduleTick() {
  time_.After(kTick, [this] {
    if (!alive_) return;
    shard_->Tick();
    ScheduleTick();
  });
}

absl::StatusOr<ReplicaDirectory::View> SimulatedRouter::Find(const std::string&) const {
  View view;
  for (size_t i = 0; i < upstreams_.size(); ++i) {
    const UpstreamStatus& status = upstreams_[i]->status();
    if (status.model_name.empty()) continue;
    view.service = status.model_name;
    view.replicas.push_back(status.snapshot);
    view.replicas.back().returning =
        !status.snapshot.ready && forecasts_[i].ExpectedBack(time_.Now());
  }
  return view;
}

std::shared_ptr<SequenceCarrier> SimulatedRouter::Upstream(ReplicaId id) const {
  return upstreams_[static_cast<size_t>(id)];
}

}  // namespace spillway
