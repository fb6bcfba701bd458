#include "tests/simulation/simulated_worker.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "tests/support/fake_answer.h"

namespace spillway {
namespace {

constexpr absl::Duration kStep = absl::Milliseconds(20);
constexpr absl::Duration kLoadInterval = absl::Milliseconds(100);
constexpr int32_t kRunningMax = 4;
constexpr int32_t kWaitingMax = 8;

}  // namespace

SimulatedWorker::SimulatedWorker(VirtualTime& time, Counts& counts, std::string numerics_id)
    : time_(time), counts_(counts), numerics_id_(std::move(numerics_id)) {
  incarnation_ = 1;
  Start();
}

int32_t SimulatedWorker::TokenId(uint64_t seed, int32_t index) {
  return static_cast<int32_t>((seed * 31 + static_cast<uint64_t>(index) * 7) % 50'000);
}

wire::WorkerDescription SimulatedWorker::Describe() const {
  wire::WorkerDescription description;
  description.set_model_name("tiny");
  description.set_numerics_id(numerics_id_);
  description.set_instance_id(std::to_string(incarnation_));
  description.set_context_tokens_max(1000);
  description.set_running_max(kRunningMax);
  description.set_waiting_max(kWaitingMax);
  return description;
}

void SimulatedWorker::Do(std::function<void()> what) {
  if (!alive()) return;
  if (!hung()) return what();
  time_.After(hung_until_ - time_.Now(),
              [this, incarnation = incarnation_, what = std::move(what)] {
                if (incarnation == incarnation_) Do(what);
              });
}

StreamId SimulatedWorker::Open(RouterEnd& router) {
  const StreamId id{++last_stream_};
  streams_[id] = &router;
  return id;
}

void SimulatedWorker::OnFrame(StreamId stream, wire::RouterFrame frame) {
  Do([this, stream, frame = std::move(frame)] { Take(stream, frame); });
}

void SimulatedWorker::OnGone(StreamId stream) {
  Do([this, stream] {
    streams_.erase(stream);
    SessionActions actions;
    sessions_->OnStreamGone(stream, time_.Now(), actions);
    CarryOut(actions);
  });
}

void SimulatedWorker::Die(bool connections_reset) {
  if (!alive()) return;
  ++counts_.deaths;
  ++incarnation_;
  hung_until_ = {};
  sequences_.clear();
  for (const auto& [stream, router] : std::exchange(streams_, {})) {
    router->OnDied(stream, connections_reset);
  }
}

void SimulatedWorker::Start() {
  if (alive()) return;
  ++incarnation_;
  sessions_ = std::make_unique<RouterSessions>(RouterSessionLimits());
  Step();
}

void SimulatedWorker::Hang(absl::Duration how_long) {
  if (!alive() || hung()) return;
  ++counts_.hangs;
  hung_until_ = time_.Now() + how_long;
}

void SimulatedWorker::Take(StreamId stream, const wire::RouterFrame& frame) {
  if (!streams_.contains(stream)) return;
  SessionActions actions;
  if (frame.has_hello()) {
    sessions_->OnHello(stream, frame.hello(), time_.Now(), actions);
  } else if (sessions_->OnFrame(stream, time_.Now(), actions)) {
    if (frame.has_submit()) TakeSubmit(stream, frame.submit());
    if (frame.has_cancel()) sessions_->OnCancel(stream, frame.cancel().sequence_id(), actions);
    if (frame.has_ack()) sessions_->OnAck(stream, frame.ack().frame_number());
    if (frame.has_ping()) {
      wire::WorkerFrame answer;
      FillLoad(*answer.mutable_load());
      streams_.at(stream)->OnFrame(stream, answer);
    }
  }
  CarryOut(actions);
}

void SimulatedWorker::TakeSubmit(StreamId stream, const wire::Submit& submit) {
  const wire::GenerateSpec& spec = submit.spec();
  const auto resumed = spec.resumed_token_ids_size();
  Sequence sequence = {.seed = spec.sampling().seed(),
                       .prompt_tokens = static_cast<int32_t>(spec.prompt().text().size() / 4),
                       .total = spec.new_tokens_max(),
                       .sampled = resumed,
                       .told_bytes = static_cast<size_t>(spec.resumed_content_bytes())};
  if (resumed > 0) ++counts_.resumed_sequences;
  bool good = FakeAnswer(sequence.seed, resumed).size() >= sequence.told_bytes;
  for (int32_t i = 0; i < resumed; ++i) {
    good = good && spec.resumed_token_ids(i) == TokenId(sequence.seed, i);
  }
  if (!good) ++counts_.bad_resumes;
  const SessionId session = *sessions_->SessionOf(stream);
  const absl::StatusOr<SequenceId> id = *sessions_->OnSubmit(stream, submit.sequence_id());
  const bool full = sequences_.size() >= kRunningMax + kWaitingMax;
  if (id.ok() && !full) {
    sequences_[*id] = sequence;
    return;
  }
  if (id.ok()) sessions_->Forget(*id);
  auto frame = std::make_unique<wire::WorkerFrame>();
  wire::SequenceEvent& event = *frame->add_events();
  event.set_sequence_id(submit.sequence_id());
  event.mutable_failed()->set_code(static_cast<int32_t>(absl::StatusCode::kResourceExhausted));
  event.mutable_failed()->set_reason("queue_full");
  FillLoad(*frame->mutable_load());
  SessionActions actions;
  sessions_->Send(session, std::move(frame), time_.Now(), actions);
  CarryOut(actions);
}

void SimulatedWorker::Step() {
  time_.After(kStep, [this, incarnation = incarnation_] {
    if (incarnation == incarnation_) Do([this] { Step(); });
  });
  std::map<SessionId, std::unique_ptr<wire::WorkerFrame>> frames;
  int32_t running = 0;
  for (auto next = sequences_.begin(); next != sequences_.end();) {
    const auto at = next++;
    const RouterSessions::Owner owner = *sessions_->Find(at->first);
    Sequence& sequence = at->second;
    if (sequence.accepted && ++running > kRunningMax && !sequence.started) continue;
    std::unique_ptr<wire::WorkerFrame>& frame = frames[owner.session];
    if (frame == nullptr) frame = std::make_unique<wire::WorkerFrame>();
    if (!Advance(owner.router_sequence, sequence, *frame)) continue;
    sessions_->Forget(at->first);
    sequences_.erase(at);
  }
  SessionActions actions;
  for (auto& [session, frame] : frames) {
    FillLoad(*frame->mutable_load());
    sessions_->Send(session, std::move(frame), time_.Now(), actions);
  }
  for (const SessionId session :
       sessions_->LoadDue(time_.Now(), kLoadInterval, sequences_.empty())) {
    auto frame = std::make_unique<wire::WorkerFrame>();
    FillLoad(*frame->mutable_load());
    sessions_->Send(session, std::move(frame), time_.Now(), actions);
  }
  sessions_->Tick(time_.Now(), actions);
  CarryOut(actions);
}

bool SimulatedWorker::Advance(uint64_t router_sequence, Sequence& sequence,
                              wire::WorkerFrame& frame) {
  const auto add = [&]() -> wire::SequenceEvent& {
    wire::SequenceEvent& event = *frame.add_events();
    event.set_sequence_id(router_sequence);
    return event;
  };
  if (!sequence.accepted) {
    sequence.accepted = true;
    add().mutable_accepted()->set_prompt_tokens(sequence.prompt_tokens);
    return false;
  }
  if (!sequence.started) {
    sequence.started = true;
    add().mutable_started();
  }
  wire::Delta& delta = *add().mutable_delta();
  if (sequence.sampled < sequence.total) {
    delta.add_token_ids(TokenId(sequence.seed, sequence.sampled++));
  }
  const bool ends = sequence.sampled == sequence.total;
  const std::string settled = FakeAnswer(sequence.seed, sequence.sampled - (ends ? 0 : 1));
  if (settled.size() > sequence.told_bytes) {
    delta.set_content(settled.substr(sequence.told_bytes));
    sequence.told_bytes = settled.size();
  }
  if (!ends) return false;
  wire::Finished& finished = *add().mutable_finished();
  finished.set_reason(wire::FINISH_REASON_LENGTH);
  finished.mutable_usage()->set_prompt_tokens(sequence.prompt_tokens);
  finished.mutable_usage()->set_completion_tokens(sequence.total);
  return true;
}

void SimulatedWorker::CarryOut(SessionActions& actions) {
  for (const SequenceId id : actions.cancel) {
    sequences_.erase(id);
    ++counts_.cancelled;
  }
  for (const auto& [stream, frame] : actions.send) {
    if (frame->welcome().resumed()) ++counts_.resumed_sessions;
    const auto router = streams_.find(stream);
    if (router != streams_.end()) router->second->OnFrame(stream, *frame);
  }
  for (const auto& [stream, why] : actions.cut) {
    const auto router = streams_.find(stream);
    if (router == streams_.end()) continue;
    RouterEnd* const end = router->second;
    streams_.erase(router);
    end->OnCut(stream);
    SessionActions more;
    sessions_->OnStreamGone(stream, time_.Now(), more);
    CarryOut(more);
  }
}

void SimulatedWorker::FillLoad(wire::WorkerLoad& load) const {
  int32_t running = 0;
  for (const auto& [id, sequence] : sequences_) running += sequence.started ? 1 : 0;
  load.set_running(running);
  load.set_waiting(static_cast<int32_t>(sequences_.size()) - running);
}

}  // namespace spillway
