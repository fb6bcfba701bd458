#include "router/worker_upstream.h"

#include <deque>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "grpc/grpc.h"
#include "grpc/support/log.h"
#include "grpcpp/alarm.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "router/worker_upstream_link.h"
#include "router/worker_wire.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

// Over the 1 MiB that a WorkerFrame is cut at, and what gRPC has by itself.
constexpr int kReceiveBytesMax = 4 << 20;
// A connection whose other machine is gone is given up, so that the next attempt makes a new one.
// The worker must allow pings this frequent (worker/worker_listener.cc). What is on the connection
// has been given up long before: UpstreamLimits::silence_max.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;

// gRPC's own errors: by stdio a log that nobody reads would hold up its threads.
void LogForGrpc(gpr_log_func_args* line) { LogWarning(absl::StrCat("gRPC: ", line->message)); }

// Keeps gRPC running until the process ends. When its last object goes, gRPC 1.51 joins a thread
// that polls for 10 s (run_poller in tcp_posix.cc) if a write had to wait shortly before: a router
// that had just sent a long prompt took those 10 s to stop.
void KeepGrpcRunning() {
  static const bool kept = [] {
    gpr_set_log_function(LogForGrpc);
    grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  // Its own connection and back-off, whatever else this process has to the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  // A unix socket belongs to one user.
  const bool clear = credentials == nullptr || target.starts_with("unix:");
  return grpc::CreateCustomChannel(target, clear ? grpc::InsecureChannelCredentials() : credentials,
                                   arguments);
}

// gRPC takes a span as "from now on".
gpr_timespec FromNow(absl::Duration duration) {
  return gpr_time_from_millis(absl::ToInt64Milliseconds(duration), GPR_TIMESPAN);
}

// The words are the kernel's, which gRPC passes on: there is no process at the address. Missing
// them costs no more than UpstreamLimits::reattach_wait.
bool NobodyListens(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         (absl::StrContains(status.error_message(), "Connection refused") ||
          absl::StrContains(status.error_message(), "No such file or directory"));
}

using EventsByShard = std::map<int32_t, std::vector<UpstreamEvent>>;

}  // namespace

// Shared with gRPC's callbacks, each of which holds a reference and is counted in pending_.
class WorkerUpstream::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(ReplicaId id, std::string target, const std::string& router_id, const UpstreamLimits& limits,
       const Clock& clock, Callbacks callbacks,
       std::shared_ptr<grpc::ChannelCredentials> credentials)
      : target_(std::move(target)),
        limits_(limits),
        clock_(clock),
        callbacks_(std::move(callbacks)),
        credentials_(std::move(credentials)),
        link_(id, router_id, limits) {}

  void Start() EXCLUDES(mutex_);
  absl::Status Submit(uint64_t attachment, uint64_t sequence_id,
                      const SequenceSubmission& submission) EXCLUDES(mutex_);
  void Cancel(uint64_t sequence_id) EXCLUDES(mutex_);
  void Embed(const EmbedCall& call, EmbedDone done) EXCLUDES(mutex_);
  void CancelEmbed(uint64_t call_id) EXCLUDES(mutex_);
  UpstreamStatus status() const EXCLUDES(mutex_);
  void Stop() EXCLUDES(mutex_);

 private:
  class Stream;

  // One Describe under way.
  struct Describe {
    grpc::ClientContext context;
    wire::DescribeRequest request;
    wire::WorkerDescription reply;
    std::unique_ptr<wire::Worker::Stub> stub;
  };

  // One Embed under way.
  struct Embedding {
    grpc::ClientContext context;
    wire::EmbedRequest request;
    wire::EmbedReply reply;
    std::unique_ptr<wire::Worker::Stub> stub;
    EmbedDone done;
  };

  void OnEmbedded(uint64_t call_id, const grpc::Status& result) EXCLUDES(mutex_);
  void OnDescribed(const grpc::Status& result) EXCLUDES(mutex_);
  // `frame` is the stream's own; its texts are taken out.
  void OnFrame(AttachId attach, wire::WorkerFrame& frame) EXCLUDES(mutex_);
  void OnBroken(AttachId attach) EXCLUDES(mutex_);
  void OnEnded(AttachId attach, const grpc::Status& result) EXCLUDES(mutex_);
  void OnAlarm() EXCLUDES(mutex_);

  // Does what the link wants, but for the deliveries: those are returned, to be made without the
  // lock. gRPC never runs a reaction inside the calls made here.
  EventsByShard CarryOut(LinkActions actions) REQUIRES(mutex_);
  void StartDescribe() REQUIRES(mutex_);
  void SetAlarm() REQUIRES(mutex_);
  void CallbackEnded() EXCLUDES(mutex_);
  void Tell(EventsByShard events);

  const std::string target_;
  const UpstreamLimits limits_;
  const Clock& clock_;
  const Callbacks callbacks_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;  // may be null

  mutable Mutex mutex_;
  CondVar idle_;
  UpstreamLink link_ GUARDED_BY(mutex_);
  int32_t pending_ GUARDED_BY(mutex_) = 0;  // callbacks that gRPC still owes
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<grpc::Alarm> alarm_ GUARDED_BY(mutex_);
  absl::Time alarm_at_ GUARDED_BY(mutex_) = absl::InfiniteFuture();  // when it goes off
  std::unique_ptr<Describe> describe_ GUARDED_BY(mutex_);
  std::map<uint64_t, std::unique_ptr<Embedding>> embeddings_ GUARDED_BY(mutex_);  // by call id
  // One for good: gRPC 1.51 ends its callback threads with the last channel, and joins them from
  // the thread that lets go of it. So that is Stop()'s, and each call ends before CallbackEnded().
  std::shared_ptr<grpc::Channel> channel_ GUARDED_BY(mutex_);
  std::map<AttachId, Stream*> streams_ GUARDED_BY(mutex_);  // until they break; own themselves
};

// One Attach call. Reads on and on; writes its queue one frame at a time, as gRPC wants it. A hold
// keeps the call from being done while it is in streams_.
class WorkerUpstream::Core::Stream
    : public grpc::ClientBidiReactor<wire::RouterFrame, wire::WorkerFrame> {
 public:
  Stream(AttachId id, std::shared_ptr<Core> core)
      : id_(id), core_(std::move(core)), stub_(wire::Worker::NewStub(core_->channel_)) {}

  // All of these with the core's mutex held. `self` keeps it alive until the call is done.
  void Start(std::shared_ptr<Stream> self, wire::RouterFrame hello) {
    self_ = std::move(self);
    stub_->async()->Attach(&context_, this);
    AddHold();
    StartRead(&frame_);
    Write(std::move(hello));
    StartCall();
  }
  void Write(wire::RouterFrame frame) {
    queue_bytes_ += frame.ByteSizeLong();
    queue_.push_back(std::move(frame));
    if (queue_.size() == 1) StartWrite(&queue_.front());
  }
  size_t queue_bytes() const { return queue_bytes_; }
  void Break() { context_.TryCancel(); }
  void Release() { RemoveHold(); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      core_->OnBroken(id_);
      return;
    }
    core_->OnFrame(id_, frame_);
    frame_.Clear();
    StartRead(&frame_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(core_->mutex_);
    if (!ok) return;  // The read fails too, and sees to it.
    queue_bytes_ -= queue_.front().ByteSizeLong();
    queue_.pop_front();
    if (!queue_.empty()) StartWrite(&queue_.front());
  }

  void OnDone(const grpc::Status& result) override {
    const std::shared_ptr<Core> core = core_;
    const AttachId id = id_;
    self_.reset();  // The end of this object, before the core says that it is over.
    core->OnEnded(id, result);
  }

 private:
  const AttachId id_;
  const std::shared_ptr<Core> core_;
  std::shared_ptr<Stream> self_;
  const std::unique_ptr<wire::Worker::Stub> stub_;
  grpc::ClientContext context_;
  wire::WorkerFrame frame_;              // touched by reactions only
  std::deque<wire::RouterFrame> queue_;  // the front is being written; under the core's mutex
  size_t queue_bytes_ = 0;               // likewise
};

EventsByShard WorkerUpstream::Core::CarryOut(LinkActions actions) {
  EventsByShard events;
  for (LinkAction& action : actions) {
    if (std::holds_alternative<DescribeAction>(action)) {
      StartDescribe();
    } else if (auto* attach = std::get_if<AttachAction>(&action)) {
      // gRPC's own back-off, never under 100 ms, would otherwise stand between us and a worker that
      // has just begun to listen.
      grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
      ++pending_;
      const auto stream = std::make_shared<Stream>(attach->attach, shared_from_this());
      streams_[attach->attach] = stream.get();
      stream->Start(stream, std::move(attach->hello));
    } else if (auto* write = std::get_if<WriteAction>(&action)) {
      const auto stream = streams_.find(write->attach);
      if (stream != streams_.end()) stream->second->Write(std::move(write->frame));
    } else if (const auto* cut = std::get_if<BreakAction>(&action)) {
      const auto stream = streams_.find(cut->attach);
      if (stream != streams_.end()) stream->second->Break();
    } else {
      for (UpstreamEvent& event : std::get<DeliverAction>(action).events) {
        events[ShardOf(event.sequence_id)].push_back(std::move(event));
      }
    }
  }
  SetAlarm();
  return events;
}

void WorkerUpstream::Core::StartDescribe() {
  if (channel_ == nullptr) channel_ = MakeChannel(target_, credentials_);
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
  describe_ = std::make_unique<Describe>();
  describe_->stub = wire::Worker::NewStub(channel_);
  describe_->context.set_deadline(FromNow(limits_.describe_timeout));
  ++pending_;
  describe_->stub->async()->Describe(&describe_->context, &describe_->request, &describe_->reply,
                                     [self = shared_from_this()](const grpc::Status& result) {
                                       self->OnDescribed(result);
                                       self->CallbackEnded();
                                     });
}

// One alarm at a time. One that goes off too early does no harm.
void WorkerUpstream::Core::SetAlarm() {
  const absl::Time wanted = link_.next_tick();
  if (wanted >= alarm_at_) return;
  if (alarm_ != nullptr) alarm_->Cancel();
  alarm_at_ = wanted;
  ++pending_;
  alarm_ = std::make_shared<grpc::Alarm>();
  // A moment more: gRPC takes whole milliseconds, and a tick that comes too early is in vain.
  alarm_->Set(
      FromNow(std::max(absl::ZeroDuration(), wanted - clock_.Now()) + absl::Milliseconds(1)),
      [self = shared_from_this()](bool went_off) {
        if (went_off) self->OnAlarm();
        self->CallbackEnded();
      });
}

void WorkerUpstream::Core::OnAlarm() {
  EventsByShard events;
  {
    MutexLock lock(mutex_);
    alarm_at_ = absl::InfiniteFuture();
    LinkActions actions;
    link_.Tick(clock_.Now(), actions);
    events = CarryOut(std::move(actions));
  }
  Tell(std::move(events));
}

void WorkerUpstream::Core::OnDescribed(const grpc::Status& result) {
  EventsByShard events;
  {
    MutexLock lock(mutex_);
    const std::unique_ptr<Describe> call = std::move(describe_);
    LinkActions actions;
    if (result.ok()) {
      link_.OnDescribed(call->reply, clock_.Now(), actions);
    } else {
      link_.OnDescribeFailed(result.error_message(), clock_.Now(), actions);
    }
    events = CarryOut(std::move(actions));
  }
  Tell(std::move(events));
}

void WorkerUpstream::Core::OnFrame(AttachId attach, wire::WorkerFrame& frame) {
  EventsByShard events;
  {
    MutexLock lock(mutex_);
    LinkActions actions;
    link_.OnFrame(attach, frame, clock_.Now(), actions);
    events = CarryOut(std::move(actions));
  }
  Tell(std::move(events));
}

// Nothing more can be sent; gRPC tells the reason with the call's end.
void WorkerUpstream::Core::OnBroken(AttachId attach) {
  MutexLock lock(mutex_);
  const auto stream = streams_.find(attach);
  CHECK(stream != streams_.end());
  Stream* const ended = stream->second;
  streams_.erase(stream);
  ended->Release();
}

void WorkerUpstream::Core::OnEnded(AttachId attach, const grpc::Status& result) {
  EventsByShard events;
  {
    MutexLock lock(mutex_);
    LinkActions actions;
    link_.OnEnded(attach, result.ok() ? "by the worker" : result.error_message(),
                  NobodyListens(result), clock_.Now(), actions);
    events = CarryOut(std::move(actions));
  }
  Tell(std::move(events));
  CallbackEnded();
}

void WorkerUpstream::Core::Start() {
  MutexLock lock(mutex_);
  LinkActions actions;
  link_.Start(actions);
  CarryOut(std::move(actions));
}

absl::Status WorkerUpstream::Core::Submit(uint64_t attachment, uint64_t sequence_id,
                                          const SequenceSubmission& submission) {
  std::vector<wire::RouterFrame> frames =
      ToSubmitFrames(sequence_id, ToGenerateSpec(submission), limits_.submit_part_bytes);
  MutexLock lock(mutex_);
  const size_t queued_bytes = streams_.empty() ? 0 : streams_.rbegin()->second->queue_bytes();
  LinkActions actions;
  absl::Status submitted = link_.Submit(attachment, sequence_id, submission.prompt_tokens_estimate,
                                        std::move(frames), queued_bytes, actions);
  CarryOut(std::move(actions));
  return submitted;
}

void WorkerUpstream::Core::Cancel(uint64_t sequence_id) {
  MutexLock lock(mutex_);
  LinkActions actions;
  link_.Cancel(sequence_id, actions);
  CarryOut(std::move(actions));
}

void WorkerUpstream::Core::Embed(const EmbedCall& call, EmbedDone done) {
  {
    MutexLock lock(mutex_);
    if (!stopped_ && link_.status().snapshot.ready) {
      auto embedding = std::make_unique<Embedding>();
      embedding->request = ToEmbedRequest(call);
      embedding->stub = wire::Worker::NewStub(channel_);
      embedding->done = std::move(done);
      if (call.time_left < absl::InfiniteDuration()) {
        embedding->context.set_deadline(FromNow(std::max(absl::ZeroDuration(), call.time_left)));
      }
      ++pending_;
      Embedding& started = *(embeddings_[call.id] = std::move(embedding));
      started.stub->async()->Embed(
          &started.context, &started.request, &started.reply,
          [self = shared_from_this(), id = call.id](const grpc::Status& result) {
            self->OnEmbedded(id, result);
            self->CallbackEnded();
          });
      return;
    }
  }
  done(absl::UnavailableError("the worker was lost before the request was sent"));
}

void WorkerUpstream::Core::CancelEmbed(uint64_t call_id) {
  MutexLock lock(mutex_);
  const auto found = embeddings_.find(call_id);
  if (found != embeddings_.end()) found->second->context.TryCancel();
}

void WorkerUpstream::Core::OnEmbedded(uint64_t call_id, const grpc::Status& result) {
  std::unique_ptr<Embedding> call;
  {
    MutexLock lock(mutex_);
    const auto found = embeddings_.find(call_id);
    CHECK(found != embeddings_.end());
    call = std::move(found->second);
    embeddings_.erase(found);
  }
  if (result.ok()) {
    call->done(FromEmbedReply(call->reply, static_cast<size_t>(call->request.inputs_size())));
  } else {
    call->done(
        absl::Status(static_cast<absl::StatusCode>(result.error_code()), result.error_message()));
  }
}

UpstreamStatus WorkerUpstream::Core::status() const {
  MutexLock lock(mutex_);
  return link_.status();
}

void WorkerUpstream::Core::Stop() {
  std::shared_ptr<grpc::Channel> channel;  // Let go of without the lock.
  EventsByShard lost;
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopped_, true)) return;
    LinkActions actions;
    link_.Stop(actions);
    lost = CarryOut(std::move(actions));
    if (alarm_ != nullptr) alarm_->Cancel();
    if (describe_ != nullptr) describe_->context.TryCancel();
    for (const auto& [id, embedding] : embeddings_) embedding->context.TryCancel();
  }
  Tell(std::move(lost));
  MutexLock lock(mutex_);
  while (pending_ > 0) idle_.Wait(mutex_);
  alarm_.reset();  // It refers back to this.
  channel = std::move(channel_);
}

void WorkerUpstream::Core::CallbackEnded() {
  MutexLock lock(mutex_);
  if (--pending_ == 0) idle_.NotifyAll();
}

void WorkerUpstream::Core::Tell(EventsByShard events) {
  for (auto& [shard, shard_events] : events) callbacks_.deliver(shard, std::move(shard_events));
  callbacks_.changed();
}

WorkerUpstream::WorkerUpstream(ReplicaId id, const std::string& target,
                               const std::string& router_id, const UpstreamLimits& limits,
                               const Clock& clock, Callbacks callbacks,
                               std::shared_ptr<grpc::ChannelCredentials> credentials)
    : core_(std::make_shared<Core>(id, target, router_id, limits, clock, std::move(callbacks),
                                   std::move(credentials))) {
  core_->Start();
}

WorkerUpstream::~WorkerUpstream() { Stop(); }

absl::Status WorkerUpstream::Submit(uint64_t attachment, uint64_t sequence_id,
                                    const SequenceSubmission& submission) {
  return core_->Submit(attachment, sequence_id, submission);
}

void WorkerUpstream::Cancel(uint64_t sequence_id) { core_->Cancel(sequence_id); }

void WorkerUpstream::Embed(const EmbedCall& call, EmbedDone done) {
  core_->Embed(call, std::move(done));
}

void WorkerUpstream::CancelEmbed(uint64_t call_id) { core_->CancelEmbed(call_id); }

UpstreamStatus WorkerUpstream::status() const { return core_->status(); }

void WorkerUpstream::Stop() { core_->Stop(); }

}  // namespace spillway
