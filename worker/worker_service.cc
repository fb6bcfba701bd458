#include "worker/worker_service.h"

#include <map>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/bounded_queue.h"
#include "common/check.h"
#include "common/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "worker/worker_service_session.h"
#include "worker/worker_service_wire.h"

namespace spillway {
namespace {

// Text and ids of an event, and what protobuf puts around them; rather too much than too little.
size_t EventBytes(const EngineEvent& event, const Tokenizer& tokenizer) {
  constexpr size_t kOverhead = 64;
  constexpr size_t kIdBytes = 5;
  constexpr size_t kLogprobOverhead = 24;
  const auto* delta = std::get_if<DeltaEvent>(&event.what);
  if (delta == nullptr) return kOverhead;
  size_t bytes = kOverhead + delta->content.size() + kIdBytes * delta->tokens.size();
  for (const TokenLogprobs& logprobs : delta->logprobs) {
    bytes += 2 * kLogprobOverhead + tokenizer.TokenBytes(logprobs.token).size();
    for (const TokenLogprob& top : logprobs.top) {
      bytes += kLogprobOverhead + tokenizer.TokenBytes(top.token).size();
    }
  }
  return bytes;
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace

class WorkerService::Impl : public wire::Worker::CallbackService {
 public:
  Impl(const WorkerServiceLimits& limits, WorkerInfo info, const PromptBuilder& prompts,
       const Tokenizer& tokenizer, const Clock& clock)
      : limits_(limits),
        info_(std::move(info)),
        prompts_(prompts),
        tokenizer_(tokenizer),
        clock_(clock),
        submissions_(static_cast<size_t>(limits.submissions_max)) {
    // Keeps gRPC running until the process ends. When its last object goes, gRPC 1.51 may poll for
    // 10 s first (run_poller in tcp_posix.cc) if a write had to wait shortly before.
    grpc_init();
  }

  ~Impl() override {
    submissions_.Close();
    if (prompt_thread_.joinable()) prompt_thread_.join();
  }

  void Connect(EngineLoop& engine) {
    CHECK(engine_ == nullptr);
    engine_ = &engine;
    prompt_thread_ = std::thread([this] { RunPromptThread(); });
  }

  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context,
                                     const wire::DescribeRequest* request,
                                     wire::WorkerDescription* reply) override;
  grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>* Attach(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Render(grpc::CallbackServerContext* context,
                                   const wire::RenderRequest* request,
                                   wire::RenderReply* reply) override;
  grpc::ServerUnaryReactor* Control(grpc::CallbackServerContext* context,
                                    const wire::ControlRequest* request,
                                    wire::ControlReply* reply) override;

  void SetDraining(bool draining) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    draining_ = draining;
  }

  void OnStep(std::span<EngineEvent> events, const EngineLoad& load) EXCLUDES(mutex_);

 private:
  using SessionPtr = std::shared_ptr<WorkerServiceSession>;

  // A sequence between its submission and its end.
  struct Entry {
    SessionPtr session;
    uint64_t router_sequence = 0;
  };
  struct Submission {
    SequenceId id{};
    absl::Time arrival;
    wire::GenerateSpec spec;
  };
  struct Outgoing {
    std::unique_ptr<wire::WorkerFrame> frame;
    size_t bytes = 0;
  };
  struct SessionState {
    SessionPtr session;
    std::unordered_map<uint64_t, SequenceId> sequences;  // by the router's ids
    absl::Time load_sent;
    bool idle_sent = false;  // the last load it was sent was that of an idle worker
  };

  void OnSubmit(WorkerServiceSession& session, uint64_t router_sequence, wire::GenerateSpec spec)
      EXCLUDES(mutex_);
  void OnCancel(WorkerServiceSession& session, uint64_t router_sequence) EXCLUDES(mutex_);
  void OnGone(WorkerServiceSession& session) EXCLUDES(mutex_);
  void RunPromptThread();
  void Prepare(Submission submission) EXCLUDES(mutex_);
  void Refuse(SequenceId id, const SpecRefusal& refusal) EXCLUDES(mutex_);
  void SendRefusal(WorkerServiceSession& session, uint64_t router_sequence,
                   const SpecRefusal& refusal);
  void Forget(SequenceId id) REQUIRES(mutex_);

  const WorkerServiceLimits limits_;
  const WorkerInfo info_;
  const PromptBuilder& prompts_;
  const Tokenizer& tokenizer_;
  const Clock& clock_;
  EngineLoop* engine_ = nullptr;  // set once, before any call comes in

  BoundedQueue<Submission> submissions_;
  std::thread prompt_thread_;

  Mutex mutex_;
  uint64_t last_id_ GUARDED_BY(mutex_) = 0;
  bool draining_ GUARDED_BY(mutex_) = false;
  EngineLoad load_ GUARDED_BY(mutex_);
  std::unordered_map<SequenceId, Entry> entries_ GUARDED_BY(mutex_);
  std::unordered_map<WorkerServiceSession*, SessionState> sessions_ GUARDED_BY(mutex_);
};

grpc::ServerUnaryReactor* WorkerService::Impl::Describe(grpc::CallbackServerContext* context,
                                                        const wire::DescribeRequest*,
                                                        wire::WorkerDescription* reply) {
  reply->set_model_name(info_.model_name);
  reply->set_model_hash(info_.model_hash);
  reply->set_numerics_id(info_.numerics_id);
  reply->set_architecture(info_.architecture);
  reply->set_device(info_.device);
  reply->set_build(info_.build);
  reply->set_context_tokens_max(info_.context_tokens_max);
  reply->set_running_max(info_.running_max);
  reply->set_waiting_max(info_.waiting_max);
  reply->set_kv_block_tokens(info_.kv_block_tokens);
  reply->set_kv_blocks_total(info_.kv_blocks_total);
  reply->set_vocabulary_size(tokenizer_.vocabulary_size());
  reply->set_has_chat_template(info_.has_chat_template);
  for (TokenId token : tokenizer_.end_of_text()) reply->add_end_of_text_token_ids(token);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>* WorkerService::Impl::Attach(
    grpc::CallbackServerContext* context) {
  auto session = std::make_shared<WorkerServiceSession>(
      context,
      WorkerServiceSession::Limits{.submit_bytes_max = limits_.submit_bytes_max,
                                   .unsent_bytes_max = limits_.unsent_bytes_max},
      WorkerServiceSession::Handlers{
          .submit = [this](WorkerServiceSession& from, uint64_t sequence,
                           wire::GenerateSpec spec) { OnSubmit(from, sequence, std::move(spec)); },
          .cancel = [this](WorkerServiceSession& from,
                           uint64_t sequence) { OnCancel(from, sequence); },
          .gone = [this](WorkerServiceSession& from) { OnGone(from); }});
  {
    MutexLock lock(mutex_);
    sessions_[session.get()].session = session;
  }
  session->Begin();
  return session.get();
}

grpc::ServerUnaryReactor* WorkerService::Impl::Render(grpc::CallbackServerContext* context,
                                                      const wire::RenderRequest* request,
                                                      wire::RenderReply* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<BuiltPrompt> built = prompts_.Build(PromptFromWire(request->prompt()));
  if (!built.ok()) {
    reactor->Finish(ToGrpc(built.status()));
    return reactor;
  }
  reply->set_text(std::move(built->text));
  reply->mutable_token_ids()->Add(built->tokens.begin(), built->tokens.end());
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* WorkerService::Impl::Control(grpc::CallbackServerContext* context,
                                                       const wire::ControlRequest* request,
                                                       wire::ControlReply* reply) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  switch (request->action_case()) {
    case wire::ControlRequest::kDrain:
      SetDraining(request->drain());
      break;
    case wire::ControlRequest::kResetPrefixCache:
      if (request->reset_prefix_cache()) engine_->ResetPrefixCache();
      break;
    case wire::ControlRequest::ACTION_NOT_SET:
      reactor->Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                   "no action; known are drain and reset_prefix_cache"));
      return reactor;
  }
  {
    MutexLock lock(mutex_);
    LoadToWire(load_, draining_, *reply->mutable_load());
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

void WorkerService::Impl::OnSubmit(WorkerServiceSession& session, uint64_t router_sequence,
                                   wire::GenerateSpec spec) {
  SpecRefusal refusal;
  {
    MutexLock lock(mutex_);
    SessionState& state = sessions_.at(&session);
    const SequenceId id{++last_id_};
    if (draining_) {
      refusal = {.status = absl::UnavailableError("the worker is draining"), .reason = "draining"};
    } else if (!state.sequences.emplace(router_sequence, id).second) {
      refusal = {.status = absl::InvalidArgumentError(
                     absl::StrCat("sequence id ", router_sequence, " is in use")),
                 .reason = "invalid_request"};
    } else {
      entries_[id] = {.session = state.session, .router_sequence = router_sequence};
      if (submissions_.TryPush({id, clock_.Now(), std::move(spec)})) return;
      Forget(id);
      refusal = {.status = absl::ResourceExhaustedError(absl::StrCat(
                     limits_.submissions_max, " submissions are waiting to be tokenized")),
                 .reason = "queue_full"};
    }
  }
  SendRefusal(session, router_sequence, refusal);
}

void WorkerService::Impl::OnCancel(WorkerServiceSession& session, uint64_t router_sequence) {
  MutexLock lock(mutex_);
  SessionState& state = sessions_.at(&session);
  const auto found = state.sequences.find(router_sequence);
  if (found == state.sequences.end()) return;
  const SequenceId id = found->second;
  Forget(id);
  engine_->Cancel(id);
}

void WorkerService::Impl::OnGone(WorkerServiceSession& session) {
  // Kept until the lock is released: it may be the last reference to the session.
  SessionPtr last;
  MutexLock lock(mutex_);
  const auto found = sessions_.find(&session);
  CHECK(found != sessions_.end());
  last = found->second.session;
  for (const auto& [router_sequence, id] : found->second.sequences) {
    entries_.erase(id);
    engine_->Cancel(id);
  }
  sessions_.erase(found);
}

void WorkerService::Impl::RunPromptThread() {
  while (std::optional<Submission> submission = submissions_.Pop()) Prepare(std::move(*submission));
}

void WorkerService::Impl::Prepare(Submission submission) {
  {
    MutexLock lock(mutex_);
    if (!entries_.contains(submission.id)) return;  // Cancelled while it waited.
  }
  EngineRequest request;
  const SpecRefusal refusal = RequestFromWire(submission.spec,
                                              {.prompts = prompts_,
                                               .vocabulary_size = tokenizer_.vocabulary_size(),
                                               .sequence_tokens_max = info_.context_tokens_max},
                                              submission.id, submission.arrival, request);
  if (!refusal.status.ok()) return Refuse(submission.id, refusal);
  {
    // Under the lock, so that a cancellation comes either before (and is seen here) or after the
    // engine has it.
    MutexLock lock(mutex_);
    if (!entries_.contains(submission.id)) return;
    if (engine_->Submit(std::move(request))) return;
  }
  Refuse(submission.id, {.status = absl::ResourceExhaustedError("the engine's queue is full"),
                         .reason = "queue_full"});
}

void WorkerService::Impl::Refuse(SequenceId id, const SpecRefusal& refusal) {
  Entry entry;
  {
    MutexLock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    entry = found->second;
    Forget(id);
  }
  SendRefusal(*entry.session, entry.router_sequence, refusal);
}

void WorkerService::Impl::SendRefusal(WorkerServiceSession& session, uint64_t router_sequence,
                                      const SpecRefusal& refusal) {
  auto frame = std::make_unique<wire::WorkerFrame>();
  wire::SequenceEvent& event = *frame->add_events();
  event.set_sequence_id(router_sequence);
  RefusalToWire(refusal, event);
  {
    MutexLock lock(mutex_);
    LoadToWire(load_, draining_, *frame->mutable_load());
  }
  session.Send(std::move(frame));
}

void WorkerService::Impl::Forget(SequenceId id) {
  const auto found = entries_.find(id);
  CHECK(found != entries_.end());
  sessions_.at(found->second.session.get()).sequences.erase(found->second.router_sequence);
  entries_.erase(found);
}

void WorkerService::Impl::OnStep(std::span<EngineEvent> events, const EngineLoad& load) {
  const absl::Time now = clock_.Now();
  std::vector<std::pair<SessionPtr, std::unique_ptr<wire::WorkerFrame>>> ready;
  {
    MutexLock lock(mutex_);
    load_ = load;
    std::map<WorkerServiceSession*, Outgoing> open;
    for (EngineEvent& event : events) {
      const auto found = entries_.find(event.sequence);
      if (found == entries_.end()) continue;  // Cancelled, or its router is gone.
      const SessionPtr session = found->second.session;
      Outgoing& outgoing = open[session.get()];
      const size_t bytes = EventBytes(event, tokenizer_);
      if (outgoing.frame != nullptr && outgoing.bytes + bytes > limits_.frame_bytes_max) {
        ready.emplace_back(session, std::move(outgoing.frame));
        outgoing.bytes = 0;
      }
      if (outgoing.frame == nullptr) outgoing.frame = std::make_unique<wire::WorkerFrame>();
      outgoing.bytes += bytes;
      wire::SequenceEvent& to = *outgoing.frame->add_events();
      to.set_sequence_id(found->second.router_sequence);
      const bool last = std::holds_alternative<EndedEvent>(event.what) ||
                        std::holds_alternative<FailedEvent>(event.what);
      EventToWire(event, tokenizer_, to);
      if (last) Forget(event.sequence);
    }
    for (auto& [key, state] : sessions_) {
      Outgoing& outgoing = open[key];
      const bool idle = load.running + load.waiting == 0;
      const bool load_due =
          now - state.load_sent >= limits_.load_interval || (idle && !state.idle_sent);
      if (outgoing.frame == nullptr && !load_due) continue;
      if (outgoing.frame == nullptr) outgoing.frame = std::make_unique<wire::WorkerFrame>();
      ready.emplace_back(state.session, std::move(outgoing.frame));
      state.load_sent = now;
      state.idle_sent = idle;
    }
    for (auto& [session, frame] : ready) LoadToWire(load, draining_, *frame->mutable_load());
  }
  for (auto& [session, frame] : ready) session->Send(std::move(frame));
}

WorkerService::WorkerService(const WorkerServiceLimits& limits, WorkerInfo info,
                             const PromptBuilder& prompts, const Tokenizer& tokenizer,
                             const Clock& clock)
    : impl_(std::make_unique<Impl>(limits, std::move(info), prompts, tokenizer, clock)) {}

WorkerService::~WorkerService() = default;

void WorkerService::Connect(EngineLoop& engine) { impl_->Connect(engine); }

grpc::Service& WorkerService::service() { return *impl_; }

void WorkerService::SetDraining(bool draining) { impl_->SetDraining(draining); }

void WorkerService::OnStep(std::span<EngineEvent> events, const EngineLoad& load) {
  impl_->OnStep(events, load);
}

}  // namespace spillway
