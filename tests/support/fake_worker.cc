#include "tests/support/fake_worker.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/check.h"
#include "common/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

constexpr int32_t kDefaultTokens = 12;

using Stream = grpc::ServerReaderWriter<wire::WorkerFrame, wire::RouterFrame>;

}  // namespace

std::string FakeTokenText(uint64_t seed, int32_t index) {
  const uint64_t mixed =
      (seed + 1) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(index) * 0x94d049bb133111ebu;
  return std::string(1 + (mixed >> 40) % 3, static_cast<char>('a' + (mixed >> 20) % 26));
}

std::string FakeAnswer(uint64_t seed, int32_t tokens) {
  std::string text;
  for (int32_t i = 0; i < tokens; ++i) text += FakeTokenText(seed, i);
  return text;
}

class FakeWorker::Impl final : public wire::Worker::Service {
 public:
  Impl(const std::string& path, Options options) : options_(std::move(options)) {
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
    for (auto& [context, session] : sessions_) context->TryCancel();
  }

  void Allow(int32_t tokens) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    options_.hold_after = tokens;
    for (auto& [context, session] : sessions_) Run(session);
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
    for (auto& [context, session] : sessions_) Send(session, {});
  }

  void SendNonsense() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (auto& [context, session] : sessions_) {
      std::vector<wire::SequenceEvent> events;
      std::vector<uint64_t> ids = {0, 4711, uint64_t{0xff} << 56 | 1};
      for (const auto& [id, sequence] : session.sequences) ids.push_back(id);
      for (const uint64_t id : ids) {
        events.emplace_back().set_sequence_id(id);  // says nothing at all
        wire::SequenceEvent& accepted = events.emplace_back();
        accepted.set_sequence_id(id);
        accepted.mutable_accepted()->set_prompt_tokens(-5);
        wire::SequenceEvent& started = events.emplace_back();
        started.set_sequence_id(id);
        started.mutable_started();
      }
      Send(session, std::move(events));
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
    return grpc::Status::OK;
  }

  grpc::Status Attach(grpc::ServerContext* context, Stream* stream) override EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      sessions_[context].stream = stream;
      seen_.frames_sent = 0;
    }
    wire::RouterFrame frame;
    while (stream->Read(&frame)) {
      MutexLock lock(mutex_);
      OnFrame(sessions_[context], frame);
      changed_.NotifyAll();
    }
    MutexLock lock(mutex_);
    sessions_.erase(context);
    changed_.NotifyAll();
    return grpc::Status::OK;
  }

 private:
  struct Sequence {
    uint64_t seed = 0;
    int32_t prompt_tokens = 0;
    int32_t total = 0;    // tokens of the whole answer
    int32_t resumed = 0;  // of those, sampled elsewhere
    int32_t sampled = 0;  // those resumed included
    size_t sent_bytes = 0;
    bool says_length = false;
  };
  struct Session {
    Stream* stream = nullptr;
    uint64_t frame_number = 0;
    std::map<uint64_t, Sequence> sequences;
    std::map<uint64_t, Submission> partial;  // SubmitParts so far
    std::map<uint64_t, std::string> partial_bytes;
  };

  void OnFrame(Session& session, const wire::RouterFrame& frame) REQUIRES(mutex_) {
    switch (frame.frame_case()) {
      case wire::RouterFrame::kHello:
        seen_.router_ids.push_back(frame.hello().router_id());
        break;
      case wire::RouterFrame::kSubmit: {
        Submission submission;
        submission.sequence_id = frame.submit().sequence_id();
        submission.largest_frame = frame.ByteSizeLong();
        OnSubmit(session, frame.submit().spec(), std::move(submission));
        break;
      }
      case wire::RouterFrame::kSubmitPart:
        OnPart(session, frame);
        break;
      case wire::RouterFrame::kCancel:
        seen_.cancelled.push_back(frame.cancel().sequence_id());
        session.sequences.erase(frame.cancel().sequence_id());
        break;
      case wire::RouterFrame::kAck:
        seen_.last_ack = frame.ack().frame_number();
        break;
      case wire::RouterFrame::FRAME_NOT_SET:
        break;
    }
  }

  void OnPart(Session& session, const wire::RouterFrame& frame) REQUIRES(mutex_) {
    const wire::SubmitPart& part = frame.submit_part();
    Submission& submission = session.partial[part.sequence_id()];
    submission.sequence_id = part.sequence_id();
    ++submission.parts;
    submission.largest_frame = std::max(submission.largest_frame, frame.ByteSizeLong());
    std::string& bytes = session.partial_bytes[part.sequence_id()];
    bytes += part.spec_bytes();
    if (!part.last()) return;
    wire::GenerateSpec spec;
    CHECK(spec.ParseFromString(bytes));
    Submission whole = std::move(submission);
    session.partial.erase(whole.sequence_id);
    session.partial_bytes.erase(whole.sequence_id);
    OnSubmit(session, spec, std::move(whole));
  }

  void OnSubmit(Session& session, const wire::GenerateSpec& spec, Submission submission)
      REQUIRES(mutex_) {
    const uint64_t id = submission.sequence_id;
    submission.prompt =
        spec.prompt().has_chat() ? spec.prompt().chat().messages_json() : spec.prompt().text();
    submission.seed = spec.sampling().seed();
    submission.new_tokens_max = spec.new_tokens_max();
    submission.resumed_token_ids.assign(spec.resumed_token_ids().begin(),
                                        spec.resumed_token_ids().end());
    submission.resumed_content_bytes = static_cast<uint64_t>(spec.resumed_content_bytes());
    submission.deadline_ms = spec.deadline_ms();
    submission.template_time_unix_s = spec.prompt().chat().template_time_unix_s();
    const auto resumed = static_cast<int32_t>(submission.resumed_token_ids.size());
    Sequence sequence = {
        .seed = submission.seed,
        .prompt_tokens = static_cast<int32_t>(submission.prompt.size() / 4),
        .total = spec.new_tokens_max() > 0 ? spec.new_tokens_max() : kDefaultTokens,
        .resumed = resumed,
        .sampled = resumed,
        .sent_bytes = submission.resumed_content_bytes,
        .says_length = spec.new_tokens_max() > 0};
    seen_.submissions.push_back(std::move(submission));
    if (!options_.answer_submits) return;
    if (refusals_ > 0) {
      --refusals_;
      wire::SequenceEvent event;
      event.set_sequence_id(id);
      *event.mutable_failed() = refusal_;
      Send(session, {event});
      return;
    }
    wire::SequenceEvent accepted;
    accepted.set_sequence_id(id);
    accepted.mutable_accepted()->set_prompt_tokens(sequence.prompt_tokens);
    wire::SequenceEvent started;
    started.set_sequence_id(id);
    started.mutable_started()->set_cached_tokens(1);
    session.sequences[id] = sequence;
    Send(session, {accepted, started});
    Run(session);
  }

  // Steps until every sequence has finished or stands at hold_after; one token each and one frame a
  // step, as a real worker does.
  void Run(Session& session) REQUIRES(mutex_) {
    while (true) {
      std::vector<wire::SequenceEvent> events;
      for (auto next = session.sequences.begin(); next != session.sequences.end();) {
        const auto at = next++;
        if (Step(at->first, at->second, events)) session.sequences.erase(at);
      }
      if (events.empty()) return;
      Send(session, std::move(events));
    }
  }

  // True when the sequence has finished.
  bool Step(uint64_t id, Sequence& sequence, std::vector<wire::SequenceEvent>& events)
      REQUIRES(mutex_) {
    if (sequence.sampled < sequence.total &&
        sequence.sampled - sequence.resumed >= options_.hold_after) {
      return false;
    }
    wire::Delta delta;
    if (sequence.sampled < sequence.total) delta.add_token_ids(100 + sequence.sampled++);
    const bool ends = sequence.sampled == sequence.total;
    const std::string settled = FakeAnswer(sequence.seed, sequence.sampled - (ends ? 0 : 1));
    if (settled.size() > sequence.sent_bytes) {
      delta.set_content(settled.substr(sequence.sent_bytes));
      sequence.sent_bytes = settled.size();
    }
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
    return true;
  }

  void Send(Session& session, std::vector<wire::SequenceEvent> events) REQUIRES(mutex_) {
    wire::WorkerFrame frame;
    frame.set_frame_number(++session.frame_number);
    for (wire::SequenceEvent& event : events) *frame.add_events() = std::move(event);
    *frame.mutable_load() = load_;
    session.stream->Write(frame);  // False when the stream is gone; Attach() notices.
    seen_.frames_sent = session.frame_number;
    changed_.NotifyAll();
  }

  mutable Mutex mutex_;
  mutable CondVar changed_;
  Options options_ GUARDED_BY(mutex_);
  Seen seen_ GUARDED_BY(mutex_);
  std::map<grpc::ServerContext*, Session> sessions_ GUARDED_BY(mutex_);
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
