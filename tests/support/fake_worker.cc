#include "tests/support/fake_worker.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/statusor.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "worker/worker_service_sessions.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

constexpr int32_t kDefaultTokens = 12;

using Stream = grpc::ServerReaderWriter<wire::WorkerFrame, wire::RouterFrame>;

}  // namespace

class FakeWorker::Impl final : public wire::Worker::Service {
 public:
  Impl(const std::string& path, Options options)
      : options_(std::move(options)), sessions_({.reattach_grace = options_.reattach_grace}) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }

  void Kill() {
    server_->Shutdown(gpr_time_0(GPR_CLOCK_REALTIME));
    server_->Wait();
  }

  void DropStreams() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    // Before the router can attach again, whenever Attach() notices.
    SessionActions actions;
    for (auto& [id, stream] : streams_) {
      sessions_.OnStreamGone(id, clock_.Now(), actions);
      stream.context->TryCancel();
    }
    CarryOut(actions);
  }

  void Hang() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    hung_ = true;
  }

  void Allow(int32_t tokens) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    options_.hold_after = tokens;
    options_.starts = true;
    Run();
  }

  void RefuseNext(int32_t count, absl::StatusCode code, const std::string& reason)
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    refusals_ = count;
    refusal_.set_code(static_cast<int32_t>(code));
    refusal_.set_reason(reason);
    refusal_.set_message("refused by the test");
  }

  void SendLoad(int32_t running, int32_t waiting, bool draining) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    load_.set_running(running);
    load_.set_waiting(waiting);
    load_.set_draining(draining);
    for (const auto& [id, stream] : streams_) {
      if (const auto session = sessions_.SessionOf(id)) Send(*session, {});
    }
  }

  void SendNonsense() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    std::vector<wire::SequenceEvent> events;
    std::vector<uint64_t> ids = {0, 4711, uint64_t{0xff} << 56 | 1};
    for (const auto& [id, sequence] : sequences_)
      ids.push_back(sessions_.Find(id)->router_sequence);
    for (const uint64_t id : ids) {
      events.emplace_back().set_sequence_id(id);  // says nothing at all
      wire::SequenceEvent& accepted = events.emplace_back();
      accepted.set_sequence_id(id);
      accepted.mutable_accepted()->set_prompt_tokens(-5);
      wire::SequenceEvent& started = events.emplace_back();
      started.set_sequence_id(id);
      started.mutable_started();
    }
    for (const auto& [id, stream] : streams_) {
      if (const auto session = sessions_.SessionOf(id)) Send(*session, events);
    }
  }

  Seen seen() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return seen_;
  }

  bool WaitUntil(const std::function<bool(const Seen&)>& condition, absl::Duration timeout) const
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!condition(seen_)) {
      if (!changed_.WaitFor(mutex_, timeout)) return condition(seen_);
    }
    return true;
  }

  grpc::Status Describe(grpc::ServerContext*, const wire::DescribeRequest*,
                        wire::WorkerDescription* reply) override EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    reply->set_model_name(options_.model_name);
    reply->set_numerics_id(options_.numerics_id);
    reply->set_context_tokens_max(options_.context_tokens_max);
    reply->set_running_max(options_.running_max);
    reply->set_waiting_max(options_.waiting_max);
    reply->set_kv_blocks_total(100);
    reply->set_instance_id(instance_id_);
    return grpc::Status::OK;
  }

  grpc::Status Attach(grpc::ServerContext* context, Stream* stream) override EXCLUDES(mutex_) {
    StreamId id{};
    {
      MutexLock lock(mutex_);
      id = StreamId{++last_stream_};
      streams_[id] = {.context = context, .stream = stream};
    }
    wire::RouterFrame frame;
    while (stream->Read(&frame)) {
      MutexLock lock(mutex_);
      OnFrame(id, frame);
      changed_.NotifyAll();
    }
    MutexLock lock(mutex_);
    SessionActions actions;
    sessions_.OnStreamGone(id, clock_.Now(), actions);
    streams_.erase(id);
    CarryOut(actions);
    changed_.NotifyAll();
    return grpc::Status::OK;
  }

 private:
  struct OpenStream {
    grpc::ServerContext* context = nullptr;
    Stream* stream = nullptr;
    int32_t frames = 0;                      // numbered ones
    std::map<uint64_t, Submission> partial;  // SubmitParts so far
    std::map<uint64_t, std::string> partial_bytes;
  };
  struct Sequence {
    uint64_t seed = 0;
    int32_t prompt_tokens = 0;
    int32_t total = 0;        // tokens of the whole answer
    int32_t resumed = 0;      // of those, sampled elsewhere
    int32_t sampled = 0;      // those resumed included
    size_t sent_content = 0;  // bytes
    size_t sent_reasoning = 0;
    bool says_length = false;
    bool started = false;
  };

  void OnFrame(StreamId stream, const wire::RouterFrame& frame) REQUIRES(mutex_) {
    if (hung_) return;
    const absl::Time now = clock_.Now();
    SessionActions actions;
    if (frame.has_hello()) {
      seen_.router_ids.push_back(frame.hello().router_id());
      if (frame.hello().live_sequence_ids().empty()) seen_.frames_sent = 0;
      sessions_.OnHello(stream, frame.hello(), now, actions);
      CarryOut(actions);
      return;
    }
    const bool counts = sessions_.OnFrame(stream, now, actions);
    CarryOut(actions);
    if (!counts) return;
    switch (frame.frame_case()) {
      case wire::RouterFrame::kSubmit: {
        Submission submission;
        submission.sequence_id = frame.submit().sequence_id();
        submission.largest_frame = frame.ByteSizeLong();
        OnSubmit(stream, frame.submit().spec(), std::move(submission));
        break;
      }
      case wire::RouterFrame::kSubmitPart:
        OnPart(stream, frame);
        break;
      case wire::RouterFrame::kCancel:
        seen_.cancelled.push_back(frame.cancel().sequence_id());
        sessions_.OnCancel(stream, frame.cancel().sequence_id(), actions);
        CarryOut(actions);
        break;
      case wire::RouterFrame::kAck:
        seen_.last_ack = frame.ack().frame_number();
        sessions_.OnAck(stream, frame.ack().frame_number());
        break;
      case wire::RouterFrame::kPing:
        ++seen_.pings;
        Write(streams_.at(stream), {});
        break;
      default:
        break;
    }
  }

  void CarryOut(SessionActions& actions) REQUIRES(mutex_) {
    for (const SequenceId id : actions.cancel) sequences_.erase(id);
    for (const auto& [id, frame] : actions.send) {
      const auto stream = streams_.find(id);
      if (stream == streams_.end()) continue;
      Write(stream->second, *frame);
      if (frame->frame_number() > 0 && ++stream->second.frames == options_.frames_per_stream) {
        stream->second.context->TryCancel();
      }
    }
    for (const auto& [id, why] : actions.cut) {
      const auto stream = streams_.find(id);
      if (stream != streams_.end()) stream->second.context->TryCancel();
    }
    actions = {};
  }

  void Write(const OpenStream& to, const wire::WorkerFrame& frame) REQUIRES(mutex_) {
    if (!hung_) to.stream->Write(frame);  // False when the stream is gone; Attach() notices.
  }

  void OnPart(StreamId stream, const wire::RouterFrame& frame) REQUIRES(mutex_) {
    OpenStream& open = streams_.at(stream);
    const wire::SubmitPart& part = frame.submit_part();
    Submission& submission = open.partial[part.sequence_id()];
    submission.sequence_id = part.sequence_id();
    ++submission.parts;
    submission.largest_frame = std::max(submission.largest_frame, frame.ByteSizeLong());
    std::string& bytes = open.partial_bytes[part.sequence_id()];
    bytes += part.spec_bytes();
    if (!part.last()) return;
    wire::GenerateSpec spec;
    CHECK(spec.ParseFromString(bytes));
    Submission whole = std::move(submission);
    open.partial.erase(whole.sequence_id);
    open.partial_bytes.erase(whole.sequence_id);
    OnSubmit(stream, spec, std::move(whole));
  }

  void OnSubmit(StreamId stream, const wire::GenerateSpec& spec, Submission submission)
      REQUIRES(mutex_) {
    const uint64_t router_sequence = submission.sequence_id;
    submission.prompt =
        spec.prompt().has_chat() ? spec.prompt().chat().messages_json() : spec.prompt().text();
    submission.seed = spec.sampling().seed();
    submission.new_tokens_max = spec.new_tokens_max();
    submission.resumed_token_ids.assign(spec.resumed_token_ids().begin(),
                                        spec.resumed_token_ids().end());
    submission.resumed_content_bytes = static_cast<uint64_t>(spec.resumed_content_bytes());
    submission.resumed_reasoning_bytes = static_cast<uint64_t>(spec.resumed_reasoning_bytes());
    submission.deadline_ms = spec.deadline_ms();
    submission.template_time_unix_s = spec.prompt().chat().template_time_unix_s();
    const auto resumed = static_cast<int32_t>(submission.resumed_token_ids.size());
    Sequence sequence = {
        .seed = submission.seed,
        .prompt_tokens = static_cast<int32_t>(submission.prompt.size() / 4),
        .total = spec.new_tokens_max() > 0 ? spec.new_tokens_max() : kDefaultTokens,
        .resumed = resumed,
        .sampled = resumed,
        .sent_content = submission.resumed_content_bytes,
        .sent_reasoning = submission.resumed_reasoning_bytes,
        .says_length = spec.new_tokens_max() > 0};
    seen_.submissions.push_back(std::move(submission));
    if (!options_.answer_submits) return;
    const SessionId session = *sessions_.SessionOf(stream);
    if (refusals_ > 0) {
      --refusals_;
      wire::SequenceEvent event;
      event.set_sequence_id(router_sequence);
      *event.mutable_failed() = refusal_;
      Send(session, {event});
      return;
    }
    wire::SequenceEvent accepted;
    accepted.set_sequence_id(router_sequence);
    accepted.mutable_accepted()->set_prompt_tokens(sequence.prompt_tokens);
    const absl::StatusOr<SequenceId> id = *sessions_.OnSubmit(stream, router_sequence);
    CHECK(id.ok());
    sequence.started = options_.starts;
    sequences_[*id] = sequence;
    std::vector<wire::SequenceEvent> events = {accepted};
    if (options_.starts) events.push_back(Started(router_sequence));
    Send(session, std::move(events));
    Run();
  }

  static wire::SequenceEvent Started(uint64_t id) {
    wire::SequenceEvent event;
    event.set_sequence_id(id);
    event.mutable_started()->set_cached_tokens(1);
    return event;
  }

  // Steps until every sequence has finished or stands at hold_after; one token each and one frame a
  // step and router, as a real worker does.
  void Run() REQUIRES(mutex_) {
    while (true) {
      std::map<SessionId, std::vector<wire::SequenceEvent>> events;
      for (auto next = sequences_.begin(); next != sequences_.end();) {
        const auto at = next++;
        const RouterSessions::Owner owner = *sessions_.Find(at->first);
        if (!Step(owner.router_sequence, at->second, events[owner.session])) continue;
        sessions_.Forget(at->first);
        sequences_.erase(at);
      }
      bool any = false;
      for (auto& [session, of_session] : events) {
        if (of_session.empty()) continue;
        any = true;
        Send(session, std::move(of_session));
      }
      if (!any) return;
    }
  }

  static std::string Unsent(const std::string& text, size_t& sent) {
    return text.substr(std::min(std::exchange(sent, std::max(sent, text.size())), text.size()));
  }

  // True when the sequence has finished.
  bool Step(uint64_t id, Sequence& sequence, std::vector<wire::SequenceEvent>& events)
      REQUIRES(mutex_) {
    if (!options_.starts) return false;
    if (!std::exchange(sequence.started, true)) events.push_back(Started(id));
    if (sequence.sampled < sequence.total &&
        sequence.sampled - sequence.resumed >= options_.hold_after) {
      return false;
    }
    wire::Delta delta;
    if (sequence.sampled < sequence.total) delta.add_token_ids(100 + sequence.sampled++);
    const bool ends = sequence.sampled == sequence.total;
    const int32_t settled_tokens = sequence.sampled - (ends ? 0 : 1);
    const int32_t reasoning_tokens = std::min(settled_tokens, options_.reasoning_tokens);
    const std::string reasoning = FakeAnswer(sequence.seed, reasoning_tokens);
    const std::string settled = FakeAnswer(sequence.seed, settled_tokens);
    const std::string content = settled.substr(reasoning.size());
    delta.set_reasoning(Unsent(reasoning, sequence.sent_reasoning));
    delta.set_content(Unsent(content, sequence.sent_content));
    delta.set_reasoning_tokens(reasoning_tokens);
    wire::SequenceEvent& said = events.emplace_back();
    said.set_sequence_id(id);
    *said.mutable_delta() = delta;
    if (!ends) return false;
    wire::SequenceEvent& finished = events.emplace_back();
    finished.set_sequence_id(id);
    finished.mutable_finished()->set_reason(sequence.says_length ? wire::FINISH_REASON_LENGTH
                                                                 : wire::FINISH_REASON_STOP);
    wire::Usage& usage = *finished.mutable_finished()->mutable_usage();
    usage.set_prompt_tokens(sequence.prompt_tokens);
    usage.set_cached_tokens(1);
    usage.set_completion_tokens(sequence.total);
    usage.set_reasoning_tokens(reasoning_tokens);
    return true;
  }

  void Send(SessionId session, std::vector<wire::SequenceEvent> events) REQUIRES(mutex_) {
    auto frame = std::make_unique<wire::WorkerFrame>();
    for (wire::SequenceEvent& event : events) *frame->add_events() = std::move(event);
    *frame->mutable_load() = load_;
    SessionActions actions;
    const wire::WorkerFrame& sent = *frame;
    sessions_.Send(session, std::move(frame), clock_.Now(), actions);
    seen_.frames_sent = sent.frame_number();
    CarryOut(actions);
    changed_.NotifyAll();
  }

  const SystemClock clock_;
  const std::string instance_id_ = std::to_string(absl::ToUnixNanos(clock_.WallNow()));
  mutable Mutex mutex_;
  mutable CondVar changed_;
  Options options_ GUARDED_BY(mutex_);
  Seen seen_ GUARDED_BY(mutex_);
  RouterSessions sessions_ GUARDED_BY(mutex_);
  uint64_t last_stream_ GUARDED_BY(mutex_) = 0;
  std::map<StreamId, OpenStream> streams_ GUARDED_BY(mutex_);
  std::map<SequenceId, Sequence> sequences_ GUARDED_BY(mutex_);
  bool hung_ GUARDED_BY(mutex_) = false;
  int32_t refusals_ GUARDED_BY(mutex_) = 0;
  wire::Failed refusal_ GUARDED_BY(mutex_);
  wire::WorkerLoad load_ GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Server> server_;
};

FakeWorker::FakeWorker(const std::string& path, Options options)
    : impl_(std::make_unique<Impl>(path, std::move(options))) {}
FakeWorker::~FakeWorker() { Kill(); }

void FakeWorker::Kill() { impl_->Kill(); }
void FakeWorker::DropStreams() { impl_->DropStreams(); }
void FakeWorker::Hang() { impl_->Hang(); }
void FakeWorker::Allow(int32_t tokens) { impl_->Allow(tokens); }
void FakeWorker::RefuseNext(int32_t count, absl::StatusCode code, const std::string& reason) {
  impl_->RefuseNext(count, code, reason);
}
void FakeWorker::SendLoad(int32_t running, int32_t waiting, bool draining) {
  impl_->SendLoad(running, waiting, draining);
}
void FakeWorker::SendNonsense() { impl_->SendNonsense(); }
FakeWorker::Seen FakeWorker::seen() const { return impl_->seen(); }
bool FakeWorker::WaitUntil(const std::function<bool(const Seen&)>& condition,
                           absl::Duration timeout) const {
  return impl_->WaitUntil(condition, timeout);
}

}  // namespace spillway
