#include "router/worker_upstream_link.h"

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "router/worker_wire.h"

namespace spillway {

namespace wire = worker::v1;

absl::Duration ReconnectDelay(const UpstreamLimits& limits, int32_t attempt) {
  absl::Duration delay = limits.reconnect_quick;
  for (int32_t i = limits.reconnect_quick_count; i <= attempt && delay < limits.reconnect_max;
       ++i) {
    delay *= 2;
  }
  return std::min(delay, limits.reconnect_max);
}

UpstreamLink::UpstreamLink(ReplicaId id, std::string router_id, const UpstreamLimits& limits)
    : router_id_(std::move(router_id)), limits_(limits) {
  status_.snapshot.key.id = id;
  status_.reason = "connecting";
}

void UpstreamLink::Start(LinkActions& actions) { Describe(actions); }

void UpstreamLink::Describe(LinkActions& actions) {
  state_ = State::kDescribing;
  actions.push_back(DescribeAction{});
}

namespace {

// A worker that is older than the list of capabilities generates.
bool Generates(const wire::WorkerDescription& description) {
  return description.capabilities().empty() ||
         std::ranges::find(description.capabilities(), wire::CAPABILITY_GENERATE) !=
             description.capabilities().end();
}

}  // namespace

void UpstreamLink::OnDescribed(const wire::WorkerDescription& description, absl::Time now,
                               LinkActions& actions) {
  if (state_ != State::kDescribing && state_ != State::kEmbeddingAsked) return;
  status_.model_name = description.model_name();
  status_.numerics_id = description.numerics_id();
  status_.instance_id = description.instance_id();
  status_.model_hash = description.model_hash();
  status_.architecture = description.architecture();
  status_.context_tokens_max = description.context_tokens_max();
  status_.embedding_size = description.embedding_size();
  status_.takes_tools = !description.tool_format().empty();
  status_.has_reasoning = description.has_reasoning();
  ReplicaSnapshot& snapshot = status_.snapshot;
  snapshot.generates = Generates(description);
  snapshot.embed_inputs_max = std::max(0, description.embed_inputs_max());
  snapshot.running_max = description.running_max();
  snapshot.waiting_max = description.waiting_max();
  snapshot.kv_block_tokens = description.kv_block_tokens();
  snapshot.numerics = std::max<uint64_t>(1, std::hash<std::string>()(status_.numerics_id));
  snapshot.load = {.kv_blocks_free = description.kv_blocks_total(),
                   .kv_blocks_total = description.kv_blocks_total()};
  last_frame_ = 0;
  if (snapshot.generates) {
    BeginCall(State::kAttaching, now, actions);
  } else {
    BeginEmbedding(now);
  }
}

void UpstreamLink::BeginEmbedding(absl::Time now) {
  if (state_ == State::kDescribing) ++status_.snapshot.key.attachment;
  state_ = State::kEmbedding;
  wake_ = now + limits_.embedder_check;
  attempts_ = 0;
  status_.snapshot.ready = true;
  status_.snapshot.draining = false;
  status_.reason.clear();
}

void UpstreamLink::OnDescribeFailed(std::string_view why, absl::Time now, LinkActions& actions) {
  if (state_ != State::kDescribing && state_ != State::kEmbeddingAsked) return;
  GiveUp(absl::StrCat("the worker doesn't answer: ", std::string(why)), now, actions);
}

void UpstreamLink::BeginCall(State state, absl::Time now, LinkActions& actions) {
  state_ = state;
  attach_ = AttachId{++last_attach_};
  heard_ = now;
  pinged_ = now;
  frames_unacknowledged_ = 0;
  AttachAction attach = {.attach = *attach_, .hello = {}};
  wire::Hello& hello = *attach.hello.mutable_hello();
  hello.set_router_id(router_id_);
  hello.set_last_frame_number(last_frame_);
  for (const auto& [sequence_id, live] : live_) hello.add_live_sequence_ids(sequence_id);
  actions.push_back(std::move(attach));
}

void UpstreamLink::OnFrame(AttachId attach, wire::WorkerFrame& frame, absl::Time now,
                           LinkActions& actions) {
  if (attach != attach_) return;
  heard_ = now;
  if (frame.has_welcome()) {
    OnWelcome(frame.welcome(), now, actions);
  } else if (state_ != State::kAttached) {
    BreakCall(actions);
    GiveUp("the worker spoke before its Welcome", now, actions);
  } else if (frame.frame_number() == 0) {
    if (frame.has_load()) TakeLoad(frame.load());
  } else {
    OnNumberedFrame(frame, now, actions);
  }
}

void UpstreamLink::OnWelcome(const wire::Welcome& welcome, absl::Time now, LinkActions& actions) {
  if (state_ == State::kAttached) {
    BreakCall(actions);
    GiveUp("the worker said Welcome twice", now, actions);
    return;
  }
  if (state_ == State::kReattaching && !welcome.resumed()) {
    // Another process, or one that has given us up. Either way it is there: begin anew at once.
    BreakCall(actions);
    LoseAll(actions);
    Describe(actions);
    return;
  }
  if (state_ == State::kReattaching) {
    const std::unordered_set<uint64_t> known(welcome.known_sequence_ids().begin(),
                                             welcome.known_sequence_ids().end());
    DeliverAction lost;
    for (auto next = live_.begin(); next != live_.end();) {
      const auto at = next++;
      if (known.contains(at->first)) continue;
      lost.events.push_back({.sequence_id = at->first, .what = WorkerLostEvent{}});
      Drop(at);
    }
    if (!lost.events.empty()) actions.push_back(std::move(lost));
  }
  state_ = State::kAttached;
  attempts_ = 0;
  ++status_.snapshot.key.attachment;
  status_.snapshot.ready = true;
  status_.snapshot.draining = false;
  status_.reason.clear();
}

void UpstreamLink::OnNumberedFrame(wire::WorkerFrame& frame, absl::Time now, LinkActions& actions) {
  if (frame.frame_number() <= last_frame_) return;
  if (frame.frame_number() != last_frame_ + 1) {
    BreakCall(actions);
    GiveUp(
        absl::StrCat("the worker sent frame ", frame.frame_number(), " behind frame ", last_frame_),
        now, actions);
    return;
  }
  last_frame_ = frame.frame_number();
  DeliverAction deliver;
  for (wire::SequenceEvent& wire_event : *frame.mutable_events()) {
    std::optional<UpstreamEvent> event = FromSequenceEvent(wire_event);
    if (event.has_value() && Record(*event)) deliver.events.push_back(*std::move(event));
  }
  if (!deliver.events.empty()) actions.push_back(std::move(deliver));
  if (frame.has_load()) TakeLoad(frame.load());
  Acknowledge(frame.events_size() > 0, actions);
}

bool UpstreamLink::Record(const UpstreamEvent& event) {
  const auto found = live_.find(event.sequence_id);
  if (found == live_.end()) return false;
  const bool ends = std::holds_alternative<FinishedEvent>(event.what) ||
                    std::holds_alternative<FailedEvent>(event.what);
  if (ends) {
    Drop(found);
  } else if (!found->second.accepted && std::holds_alternative<AcceptedEvent>(event.what)) {
    found->second.accepted = true;
    --status_.snapshot.unaccepted;
    status_.snapshot.unaccepted_prompt_tokens -= found->second.prompt_tokens_estimate;
  }
  return true;
}

void UpstreamLink::Drop(std::unordered_map<uint64_t, Live>::iterator live) {
  if (!live->second.accepted) {
    --status_.snapshot.unaccepted;
    status_.snapshot.unaccepted_prompt_tokens -= live->second.prompt_tokens_estimate;
  }
  live_.erase(live);
}

void UpstreamLink::TakeLoad(const wire::WorkerLoad& load) {
  status_.snapshot.load = FromWorkerLoad(load);
  status_.snapshot.draining = load.draining();
  status_.reason = load.draining() ? "draining" : "";
}

void UpstreamLink::Acknowledge(bool had_events, LinkActions& actions) {
  ++frames_unacknowledged_;
  // The last sequence has ended: nothing more may come that would bring the count up.
  const bool idle = had_events && live_.empty();
  if (frames_unacknowledged_ < limits_.ack_frames && !idle) return;
  frames_unacknowledged_ = 0;
  WriteAction write = {.attach = *attach_, .frame = {}};
  write.frame.mutable_ack()->set_frame_number(last_frame_);
  actions.push_back(std::move(write));
}

void UpstreamLink::OnEnded(AttachId attach, std::string_view why, bool nobody_listens,
                           absl::Time now, LinkActions& actions) {
  if (attach != attach_) return;
  attach_.reset();
  const std::string reason = absl::StrCat("the stream to the worker ended: ", std::string(why));
  if (state_ == State::kAttached && !live_.empty()) {
    status_.snapshot.ready = false;
    status_.reason = reason;
    reattach_until_ = now + limits_.reattach_wait;
    Reattach(now, actions);
  } else if (state_ == State::kReattaching && !nobody_listens && now < reattach_until_) {
    state_ = State::kReattachPause;
    wake_ = now + limits_.reconnect_quick;
  } else {
    GiveUp(reason, now, actions);
  }
}

void UpstreamLink::Reattach(absl::Time now, LinkActions& actions) {
  // Without any that is wanted, a Hello means to begin anew.
  if (live_.empty() || live_.size() > limits_.reattach_sequences_max) {
    GiveUp(status_.reason, now, actions);
    return;
  }
  BeginCall(State::kReattaching, now, actions);
}

void UpstreamLink::Tick(absl::Time now, LinkActions& actions) {
  switch (state_) {
    case State::kDescribing:
    case State::kEmbeddingAsked:
    case State::kStopped:
      return;
    case State::kBackingOff:
      if (now >= wake_) Describe(actions);
      return;
    case State::kEmbedding:
      if (now < wake_) return;
      Describe(actions);
      state_ = State::kEmbeddingAsked;
      return;
    case State::kReattachPause:
      if (now >= reattach_until_) {
        GiveUp(status_.reason, now, actions);
      } else if (now >= wake_) {
        Reattach(now, actions);
      }
      return;
    case State::kReattaching:
      if (now < reattach_until_) return;
      break;
    case State::kAttaching:
    case State::kAttached:
      if (now - heard_ < limits_.silence_max) {
        if (now - pinged_ >= limits_.ping_interval) Ping(now, actions);
        return;
      }
      status_.reason =
          absl::StrCat("nothing was heard of the worker for ",
                       absl::FormatDuration(absl::Trunc(now - heard_, absl::Milliseconds(1))));
      break;
  }
  BreakCall(actions);
  GiveUp(std::string(status_.reason), now, actions);
}

absl::Time UpstreamLink::next_tick() const {
  switch (state_) {
    case State::kDescribing:
    case State::kEmbeddingAsked:
    case State::kStopped:
      return absl::InfiniteFuture();
    case State::kBackingOff:
    case State::kEmbedding:
      return wake_;
    case State::kReattachPause:
      return std::min(wake_, reattach_until_);
    case State::kReattaching:
      return reattach_until_;
    case State::kAttaching:
    case State::kAttached:
      return std::min(heard_ + limits_.silence_max, pinged_ + limits_.ping_interval);
  }
  return absl::InfiniteFuture();
}

void UpstreamLink::Ping(absl::Time now, LinkActions& actions) {
  pinged_ = now;
  WriteAction write = {.attach = *attach_, .frame = {}};
  write.frame.mutable_ping();
  actions.push_back(std::move(write));
}

absl::Status UpstreamLink::Submit(uint64_t attachment, uint64_t sequence_id,
                                  int64_t prompt_tokens_estimate,
                                  std::vector<wire::RouterFrame> frames, size_t queued_bytes,
                                  LinkActions& actions) {
  if (state_ != State::kAttached || attachment != status_.snapshot.key.attachment) {
    return absl::UnavailableError("the worker was lost before the request was sent");
  }
  size_t bytes = 0;
  for (const wire::RouterFrame& frame : frames) bytes += frame.ByteSizeLong();
  if (queued_bytes + bytes > limits_.write_queue_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat(queued_bytes, " bytes are waiting to be sent to the worker, and ",
                     limits_.write_queue_bytes_max, " may"));
  }
  live_[sequence_id] = {.prompt_tokens_estimate = prompt_tokens_estimate};
  ++status_.snapshot.unaccepted;
  status_.snapshot.unaccepted_prompt_tokens += prompt_tokens_estimate;
  for (wire::RouterFrame& frame : frames) {
    actions.push_back(WriteAction{.attach = *attach_, .frame = std::move(frame)});
  }
  return absl::OkStatus();
}

void UpstreamLink::Cancel(uint64_t sequence_id, LinkActions& actions) {
  const auto found = live_.find(sequence_id);
  if (found == live_.end()) return;
  Drop(found);
  // Between two calls the next Hello says it, by leaving it out.
  if (!attach_.has_value()) return;
  // Not held to write_queue_bytes_max: there is one at most for each Submit that was.
  WriteAction write = {.attach = *attach_, .frame = {}};
  write.frame.mutable_cancel()->set_sequence_id(sequence_id);
  actions.push_back(std::move(write));
}

void UpstreamLink::GiveUp(std::string_view why, absl::Time now, LinkActions& actions) {
  status_.reason = std::string(why);
  LoseAll(actions);
  state_ = State::kBackingOff;
  wake_ = now + ReconnectDelay(limits_, attempts_++);
}

void UpstreamLink::BreakCall(LinkActions& actions) {
  actions.push_back(BreakAction{*attach_});
  attach_.reset();
}

void UpstreamLink::LoseAll(LinkActions& actions) {
  status_.snapshot.ready = false;
  status_.snapshot.load = {};
  status_.snapshot.unaccepted = 0;
  status_.snapshot.unaccepted_prompt_tokens = 0;
  if (live_.empty()) return;
  DeliverAction lost;
  for (const auto& [sequence_id, live] : live_) {
    lost.events.push_back({.sequence_id = sequence_id, .what = WorkerLostEvent{}});
  }
  live_.clear();
  actions.push_back(std::move(lost));
}

void UpstreamLink::Stop(LinkActions& actions) {
  if (attach_.has_value()) BreakCall(actions);
  LoseAll(actions);
  state_ = State::kStopped;
  status_.reason = "this server has ended its connection";
}

}  // namespace spillway
