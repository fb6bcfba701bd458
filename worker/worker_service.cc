#include "worker/worker_service.h"

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "worker/worker_service_frames.h"
#include "worker/worker_service_grammars.h"
#include "worker/worker_service_prompts.h"
#include "worker/worker_service_sessions.h"
#include "worker/worker_service_stream.h"
#include "worker/worker_service_wire.h"

namespace spillway {
namespace {

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
        sessions_(limits.sessions) {
    // Keeps gRPC running until the process ends. When its last object goes, gRPC 1.51 may poll for
    // 10 s first (run_poller in tcp_posix.cc) if a write had to wait shortly before.
    grpc_init();
  }

  void Connect(EngineLoop& engine);

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
  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* context,
                                  const wire::EmbedRequest* request,
                                  wire::EmbedReply* reply) override;

  void SetDraining(bool draining) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    draining_ = draining;
  }

  void OnStep(std::span<EngineEvent> events, const EngineLoad& load) EXCLUDES(mutex_);

 private:
  using StreamPtr = std::shared_ptr<AttachStream>;
  using Cuts = std::vector<std::pair<StreamPtr, absl::Status>>;

  // Every frame but submissions.
  void OnFrame(StreamId stream, const wire::RouterFrame& frame) EXCLUDES(mutex_);
  void OnSubmit(StreamId stream, uint64_t router_sequence, wire::GenerateSpec spec)
      EXCLUDES(mutex_);
  void OnGone(StreamId stream) EXCLUDES(mutex_);

  bool IsWanted(SequenceId id) EXCLUDES(mutex_);
  void OnPromptReady(EngineRequest request) EXCLUDES(mutex_);
  void Start(EngineRequest request) EXCLUDES(mutex_);
  void Refuse(SequenceId id, const SpecRefusal& refusal) EXCLUDES(mutex_);
  void SendRefusal(SessionId session, uint64_t router_sequence, const SpecRefusal& refusal,
                   SessionActions& actions) REQUIRES(mutex_);
  // All but the cuts, which are to be done without the lock: a cut calls back.
  Cuts CarryOut(SessionActions& actions) REQUIRES(mutex_);
  static void CutAll(const Cuts& cuts);

  const WorkerServiceLimits limits_;
  const WorkerInfo info_;
  const PromptBuilder& prompts_;
  const Tokenizer& tokenizer_;
  const Clock& clock_;
  EngineLoop* engine_ = nullptr;  // set once, before any call comes in

  Mutex mutex_;
  bool draining_ GUARDED_BY(mutex_) = false;
  EngineLoad load_ GUARDED_BY(mutex_);
  RouterSessions sessions_ GUARDED_BY(mutex_);
  uint64_t last_stream_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<StreamId, StreamPtr> streams_ GUARDED_BY(mutex_);

  // Last: each ends before what it calls goes.
  std::optional<GrammarThreads> grammar_threads_;
  std::optional<PromptThread> prompt_thread_;
};

void WorkerService::Impl::Connect(EngineLoop& engine) {
  CHECK(engine_ == nullptr);
  engine_ = &engine;
  grammar_threads_.emplace(
      GrammarThreadLimits(), tokenizer_,
      GrammarThreads::Handlers{
          .wanted = [this](SequenceId id) { return IsWanted(id); },
          .ready = [this](EngineRequest request) { Start(std::move(request)); },
          .refused = [this](SequenceId id, const SpecRefusal& why) { Refuse(id, why); }});
  prompt_thread_.emplace(
      limits_.submissions_max,
      SpecContext{.prompts = prompts_,
                  .vocabulary_size = tokenizer_.vocabulary_size(),
                  .sequence_tokens_max = info_.context_tokens_max,
                  .sampling_defaults = info_.sampling_defaults,
                  .takes_grammars = info_.takes_grammars},
      PromptThread::Handlers{
          .wanted = [this](SequenceId id) { return IsWanted(id); },
          .ready = [this](EngineRequest request) { OnPromptReady(std::move(request)); },
          .refused = [this](SequenceId id, const SpecRefusal& why) { Refuse(id, why); }});
}

grpc::ServerUnaryReactor* WorkerService::Impl::Describe(grpc::CallbackServerContext* context,
                                                        const wire::DescribeRequest*,
                                                        wire::WorkerDescription* reply) {
  IdentityToWire(info_.identity, *reply);
  reply->set_context_tokens_max(info_.context_tokens_max);
  reply->set_running_max(info_.running_max);
  reply->set_waiting_max(info_.waiting_max);
  reply->set_kv_block_tokens(info_.kv_block_tokens);
  reply->set_kv_blocks_total(info_.kv_blocks_total);
  reply->set_vocabulary_size(tokenizer_.vocabulary_size());
  reply->set_has_chat_template(info_.has_chat_template);
  for (TokenId token : tokenizer_.end_of_text()) reply->add_end_of_text_token_ids(token);
  reply->add_capabilities(wire::CAPABILITY_GENERATE);
  DefaultsToWire(info_.sampling_defaults, *reply->mutable_sampling_defaults());
  if (const ToolCallFormat* format = prompts_.tool_format()) {
    reply->set_tool_format(std::string(format->name));
  }
  reply->set_has_reasoning(prompts_.has_reasoning());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>* WorkerService::Impl::Attach(
    grpc::CallbackServerContext* context) {
  MutexLock lock(mutex_);
  const StreamId id{++last_stream_};
  auto stream = std::make_shared<AttachStream>(
      context, limits_.submit_bytes_max,
      AttachStream::Handlers{
          .frame = [this, id](const wire::RouterFrame& frame) { OnFrame(id, frame); },
          .submit = [this, id](
                        uint64_t sequence,
                        wire::GenerateSpec spec) { OnSubmit(id, sequence, std::move(spec)); },
          .gone = [this, id] { OnGone(id); }});
  streams_[id] = stream;
  stream->Begin();
  return stream.get();
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

grpc::ServerUnaryReactor* WorkerService::Impl::Embed(grpc::CallbackServerContext* context,
                                                     const wire::EmbedRequest*, wire::EmbedReply*) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED,
                               info_.identity.model_name + " is not an embedding model"));
  return reactor;
}

void WorkerService::Impl::OnSubmit(StreamId stream, uint64_t router_sequence,
                                   wire::GenerateSpec spec) {
  Cuts cuts;
  {
    MutexLock lock(mutex_);
    const absl::Time now = clock_.Now();
    SessionActions actions;
    const auto submit = [&]() REQUIRES(mutex_) {
      if (!sessions_.OnFrame(stream, now, actions)) return;
      const SessionId session = *sessions_.SessionOf(stream);
      if (draining_) {
        return SendRefusal(
            session, router_sequence,
            {.status = absl::UnavailableError("the worker is draining"), .reason = "draining"},
            actions);
      }
      const absl::StatusOr<SequenceId> id = *sessions_.OnSubmit(stream, router_sequence);
      if (!id.ok()) {
        return SendRefusal(session, router_sequence,
                           {.status = absl::InvalidArgumentError(id.status().message()),
                            .reason = "invalid_request"},
                           actions);
      }
      if (prompt_thread_->TryPush({*id, now, std::move(spec)})) return;
      sessions_.Forget(*id);
      SendRefusal(session, router_sequence,
                  {.status = absl::ResourceExhaustedError(absl::StrCat(
                       limits_.submissions_max, " submissions are waiting to be tokenized")),
                   .reason = "queue_full"},
                  actions);
    };
    submit();
    cuts = CarryOut(actions);
  }
  CutAll(cuts);
}

void WorkerService::Impl::OnFrame(StreamId stream, const wire::RouterFrame& frame) {
  Cuts cuts;
  {
    MutexLock lock(mutex_);
    const absl::Time now = clock_.Now();
    SessionActions actions;
    if (frame.has_hello()) {
      sessions_.OnHello(stream, frame.hello(), now, actions);
    } else if (sessions_.OnFrame(stream, now, actions)) {
      if (frame.has_cancel()) sessions_.OnCancel(stream, frame.cancel().sequence_id(), actions);
      if (frame.has_ack()) sessions_.OnAck(stream, frame.ack().frame_number());
      if (frame.has_ping()) {
        auto answer = std::make_shared<wire::WorkerFrame>();
        LoadToWire(load_, draining_, *answer->mutable_load());
        streams_.at(stream)->SendIfQuiet(std::move(answer));
      }
    }
    cuts = CarryOut(actions);
  }
  CutAll(cuts);
}

void WorkerService::Impl::OnGone(StreamId stream) {
  // Kept until the lock is released: it may be the last reference to the stream.
  StreamPtr last;
  Cuts cuts;
  {
    MutexLock lock(mutex_);
    const auto found = streams_.find(stream);
    CHECK(found != streams_.end());
    last = std::move(found->second);
    streams_.erase(found);
    SessionActions actions;
    sessions_.OnStreamGone(stream, clock_.Now(), actions);
    cuts = CarryOut(actions);
  }
  CutAll(cuts);
}

bool WorkerService::Impl::IsWanted(SequenceId id) {
  MutexLock lock(mutex_);
  return sessions_.Find(id).has_value();
}

void WorkerService::Impl::OnPromptReady(EngineRequest request) {
  if (!request.grammar_source.has_value()) return Start(std::move(request));
  const SequenceId id = request.id;
  if (grammar_threads_->TryPush(std::move(request))) return;
  Refuse(id, {.status = absl::ResourceExhaustedError("too many grammars wait to be compiled"),
              .reason = "queue_full"});
}

void WorkerService::Impl::Start(EngineRequest request) {
  const SequenceId id = request.id;
  {
    // Under the lock, so that a cancellation comes either before (and is seen here) or after the
    // engine has it.
    MutexLock lock(mutex_);
    if (!sessions_.Find(id).has_value()) return;
    if (engine_->Submit(std::move(request))) return;
  }
  Refuse(id, {.status = absl::ResourceExhaustedError("the engine's queue is full"),
              .reason = "queue_full"});
}

void WorkerService::Impl::Refuse(SequenceId id, const SpecRefusal& refusal) {
  Cuts cuts;
  {
    MutexLock lock(mutex_);
    const std::optional<RouterSessions::Owner> owner = sessions_.Find(id);
    if (!owner.has_value()) return;
    sessions_.Forget(id);
    SessionActions actions;
    SendRefusal(owner->session, owner->router_sequence, refusal, actions);
    cuts = CarryOut(actions);
  }
  CutAll(cuts);
}

void WorkerService::Impl::SendRefusal(SessionId session, uint64_t router_sequence,
                                      const SpecRefusal& refusal, SessionActions& actions) {
  auto frame = std::make_unique<wire::WorkerFrame>();
  wire::SequenceEvent& event = *frame->add_events();
  event.set_sequence_id(router_sequence);
  RefusalToWire(refusal, event);
  LoadToWire(load_, draining_, *frame->mutable_load());
  sessions_.Send(session, std::move(frame), clock_.Now(), actions);
}

void WorkerService::Impl::OnStep(std::span<EngineEvent> events, const EngineLoad& load) {
  const absl::Time now = clock_.Now();
  Cuts cuts;
  {
    MutexLock lock(mutex_);
    load_ = load;
    SessionActions actions;
    for (auto& [session, frame] :
         MakeFrames(events, tokenizer_, limits_.frame_bytes_max, sessions_)) {
      LoadToWire(load, draining_, *frame->mutable_load());
      sessions_.Send(session, std::move(frame), now, actions);
    }
    const bool idle = load.running + load.waiting == 0;
    for (const SessionId session : sessions_.LoadDue(now, limits_.load_interval, idle)) {
      auto frame = std::make_unique<wire::WorkerFrame>();
      LoadToWire(load, draining_, *frame->mutable_load());
      sessions_.Send(session, std::move(frame), now, actions);
    }
    sessions_.Tick(now, actions);
    cuts = CarryOut(actions);
  }
  CutAll(cuts);
}

WorkerService::Impl::Cuts WorkerService::Impl::CarryOut(SessionActions& actions) {
  for (const SequenceId id : actions.cancel) engine_->Cancel(id);
  for (auto& [id, frame] : actions.send) {
    const auto stream = streams_.find(id);
    if (stream != streams_.end()) stream->second->Send(std::move(frame));
  }
  Cuts cuts;
  for (auto& [id, why] : actions.cut) {
    const auto stream = streams_.find(id);
    if (stream != streams_.end()) cuts.emplace_back(stream->second, std::move(why));
  }
  return cuts;
}

void WorkerService::Impl::CutAll(const Cuts& cuts) {
  for (const auto& [stream, why] : cuts) {
    LogWarning(absl::StrCat("cutting off a router: ", why.message()));
    stream->Cut(why);
  }
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
