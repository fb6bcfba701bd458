#include "router/worker_upstream.h"

#include <deque>
#include <map>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/mutex.h"
#include "grpc/grpc.h"
#include "grpcpp/alarm.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.grpc.pb.h"
#include "router/worker_wire.h"

namespace spillway {
namespace {

namespace wire = worker::v1;

// Over the 1 MiB that a WorkerFrame is cut at, and what gRPC has by itself.
constexpr int kReceiveBytesMax = 4 << 20;

// Keeps gRPC running until the process ends. When its last object goes, gRPC 1.51 joins a thread
// that polls for 10 s (run_poller in tcp_posix.cc) if a write had to wait shortly before: a router
// that had just sent a long prompt took those 10 s to stop.
void KeepGrpcRunning() {
  static const bool kept = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  // Its own connection and back-off, whatever else this process has to the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  // NOLINTNEXTLINE: mTLS for TCP targets comes with the configuration of remote workers.
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

// gRPC takes a span as "from now on".
gpr_timespec FromNow(absl::Duration duration) {
  return gpr_time_from_millis(absl::ToInt64Milliseconds(duration), GPR_TIMESPAN);
}

using EventsByShard = std::map<int32_t, std::vector<UpstreamEvent>>;

}  // namespace

absl::Duration ReconnectDelay(const UpstreamLimits& limits, int32_t attempt) {
  absl::Duration delay = limits.reconnect_quick;
  for (int32_t i = limits.reconnect_quick_count; i <= attempt && delay < limits.reconnect_max;
       ++i) {
    delay *= 2;
  }
  return std::min(delay, limits.reconnect_max);
}

// Shared with gRPC's callbacks, each of which holds a reference and is counted in pending_.
class WorkerUpstream::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(ReplicaId id, std::string target, std::string router_id, const UpstreamLimits& limits,
       Callbacks callbacks)
      : id_(id),
        target_(std::move(target)),
        router_id_(std::move(router_id)),
        limits_(limits),
        callbacks_(std::move(callbacks)) {}

  void Connect() EXCLUDES(mutex_);
  absl::Status Submit(uint64_t attachment, uint64_t sequence_id,
                      const SequenceSubmission& submission) EXCLUDES(mutex_);
  void Cancel(uint64_t sequence_id) EXCLUDES(mutex_);
  UpstreamStatus status() const EXCLUDES(mutex_);
  void Stop() EXCLUDES(mutex_);

 private:
  class Stream;

  struct Live {
    bool accepted = false;
    int64_t prompt_tokens_estimate = 0;
  };
  // One Describe under way.
  struct Describe {
    grpc::ClientContext context;
    wire::DescribeRequest request;
    wire::WorkerDescription reply;
    std::unique_ptr<wire::Worker::Stub> stub;
  };

  void OnDescribed(const grpc::Status& result) EXCLUDES(mutex_);
  // `frame` is the stream's own; its texts are taken out.
  void OnFrame(wire::WorkerFrame& frame) EXCLUDES(mutex_);
  void OnStreamBroken() EXCLUDES(mutex_);
  void OnStreamDone(const grpc::Status& result) EXCLUDES(mutex_);
  void ConnectLater() REQUIRES(mutex_);
  // What `event` means for the books. False when the sequence is none of ours (any more).
  bool Record(const UpstreamEvent& event) REQUIRES(mutex_);
  void Acknowledge(const wire::WorkerFrame& frame) REQUIRES(mutex_);
  void CallbackEnded() EXCLUDES(mutex_);
  void Deliver(EventsByShard events);

  const ReplicaId id_;
  const std::string target_;
  const std::string router_id_;
  const UpstreamLimits limits_;
  const Callbacks callbacks_;

  mutable Mutex mutex_;
  CondVar idle_;
  int32_t pending_ GUARDED_BY(mutex_) = 0;  // callbacks that gRPC still owes
  bool stopping_ GUARDED_BY(mutex_) = false;
  int32_t attempts_ GUARDED_BY(mutex_) = 0;  // that failed since the last frame
  std::shared_ptr<grpc::Alarm> alarm_ GUARDED_BY(mutex_);
  std::unique_ptr<Describe> describe_ GUARDED_BY(mutex_);
  // One for good: gRPC 1.51 ends its callback threads with the last channel, and joins them from
  // the thread that lets go of it. So that is Stop()'s, and each call ends before CallbackEnded().
  std::shared_ptr<grpc::Channel> channel_ GUARDED_BY(mutex_);
  Stream* stream_ GUARDED_BY(mutex_) = nullptr;  // until it breaks; owns itself
  UpstreamStatus status_ GUARDED_BY(mutex_);
  std::unordered_map<uint64_t, Live> live_ GUARDED_BY(mutex_);
  int32_t frames_unacknowledged_ GUARDED_BY(mutex_) = 0;
};

// The Attach call. Reads on and on; writes its queue one frame at a time, as gRPC wants it.
// A hold keeps the call from being done while stream_ still points here.
class WorkerUpstream::Core::Stream
    : public grpc::ClientBidiReactor<wire::RouterFrame, wire::WorkerFrame> {
 public:
  Stream(std::shared_ptr<Core> core, std::unique_ptr<wire::Worker::Stub> stub)
      : core_(std::move(core)), stub_(std::move(stub)) {}

  // All of these with the core's mutex held. gRPC never runs a reaction inside a Start call.
  // `self` keeps it alive until the call is done.
  void Start(std::shared_ptr<Stream> self) {
    self_ = std::move(self);
    stub_->async()->Attach(&context_, this);
    AddHold();
    StartRead(&frame_);
    wire::RouterFrame hello;
    hello.mutable_hello()->set_router_id(core_->router_id_);
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
      core_->OnStreamBroken();
      return;
    }
    core_->OnFrame(frame_);
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
    self_.reset();  // The end of this object, before the core says that it is over.
    core->OnStreamDone(result);
  }

 private:
  const std::shared_ptr<Core> core_;
  std::shared_ptr<Stream> self_;
  const std::unique_ptr<wire::Worker::Stub> stub_;
  grpc::ClientContext context_;
  wire::WorkerFrame frame_;              // touched by reactions only
  std::deque<wire::RouterFrame> queue_;  // the front is being written; under the core's mutex
  size_t queue_bytes_ = 0;               // likewise
};

void WorkerUpstream::Core::Connect() {
  MutexLock lock(mutex_);
  if (stopping_) return;
  if (channel_ == nullptr) channel_ = MakeChannel(target_);
  // gRPC's own back-off, never under 100 ms, would otherwise stand between us and a worker that
  // has just begun to listen.
  grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
  describe_ = std::make_unique<Describe>();
  describe_->stub = wire::Worker::NewStub(channel_);
  describe_->context.set_deadline(FromNow(limits_.describe_timeout));
  ++pending_;
  if (status_.reason.empty()) status_.reason = "connecting";
  describe_->stub->async()->Describe(&describe_->context, &describe_->request, &describe_->reply,
                                     [self = shared_from_this()](const grpc::Status& result) {
                                       self->OnDescribed(result);
                                       self->CallbackEnded();
                                     });
}

void WorkerUpstream::Core::OnDescribed(const grpc::Status& result) {
  {
    MutexLock lock(mutex_);
    const std::unique_ptr<Describe> call = std::move(describe_);
    if (stopping_) return;
    if (!result.ok()) {
      status_.reason = absl::StrCat("the worker doesn't answer: ", result.error_message());
      ConnectLater();
    } else {
      const wire::WorkerDescription& description = call->reply;
      status_.model_name = description.model_name();
      status_.numerics_id = description.numerics_id();
      status_.context_tokens_max = description.context_tokens_max();
      ReplicaSnapshot& snapshot = status_.snapshot;
      snapshot.key = {id_, snapshot.key.attachment + 1};
      snapshot.ready = true;
      snapshot.draining = false;
      snapshot.running_max = description.running_max();
      snapshot.waiting_max = description.waiting_max();
      snapshot.numerics = std::max<uint64_t>(1, std::hash<std::string>()(status_.numerics_id));
      snapshot.load = {};
      snapshot.load.kv_blocks_free = description.kv_blocks_total();
      snapshot.load.kv_blocks_total = description.kv_blocks_total();
      status_.reason.clear();
      frames_unacknowledged_ = 0;
      ++pending_;
      const auto stream = std::make_shared<Stream>(shared_from_this(), std::move(call->stub));
      stream_ = stream.get();
      stream->Start(stream);
    }
  }
  callbacks_.changed();
}

void WorkerUpstream::Core::OnFrame(wire::WorkerFrame& frame) {
  EventsByShard events;
  {
    MutexLock lock(mutex_);
    attempts_ = 0;
    if (stream_ == nullptr) return;
    for (wire::SequenceEvent& wire_event : *frame.mutable_events()) {
      std::optional<UpstreamEvent> event = FromSequenceEvent(wire_event);
      if (!event.has_value() || !Record(*event)) continue;
      const int32_t shard = ShardOf(event->sequence_id);
      events[shard].push_back(*std::move(event));
    }
    if (frame.has_load()) {
      status_.snapshot.load = FromWorkerLoad(frame.load());
      status_.snapshot.draining = frame.load().draining();
      status_.reason = frame.load().draining() ? "draining" : "";
    }
    Acknowledge(frame);
  }
  Deliver(std::move(events));
  callbacks_.changed();
}

bool WorkerUpstream::Core::Record(const UpstreamEvent& event) {
  const auto found = live_.find(event.sequence_id);
  if (found == live_.end()) return false;
  const bool ends = std::holds_alternative<FinishedEvent>(event.what) ||
                    std::holds_alternative<FailedEvent>(event.what);
  if (!found->second.accepted && (ends || std::holds_alternative<AcceptedEvent>(event.what))) {
    found->second.accepted = true;
    --status_.snapshot.unaccepted;
    status_.snapshot.unaccepted_prompt_tokens -= found->second.prompt_tokens_estimate;
  }
  if (ends) live_.erase(found);
  return true;
}

void WorkerUpstream::Core::Acknowledge(const wire::WorkerFrame& frame) {
  ++frames_unacknowledged_;
  // The last sequence has ended: nothing more may come that would bring the count up.
  const bool idle = frame.events_size() > 0 && live_.empty();
  if (frames_unacknowledged_ < limits_.ack_frames && !idle) return;
  frames_unacknowledged_ = 0;
  wire::RouterFrame ack;
  ack.mutable_ack()->set_frame_number(frame.frame_number());
  stream_->Write(std::move(ack));
}

void WorkerUpstream::Core::OnStreamBroken() {
  EventsByShard lost;
  {
    MutexLock lock(mutex_);
    CHECK(stream_ != nullptr);
    for (const auto& [sequence_id, live] : live_) {
      lost[ShardOf(sequence_id)].push_back({.sequence_id = sequence_id, .what = WorkerLostEvent{}});
    }
    live_.clear();
    status_.snapshot.ready = false;
    status_.snapshot.unaccepted = 0;
    status_.snapshot.unaccepted_prompt_tokens = 0;
    status_.snapshot.load = {};
    status_.reason = "the stream to the worker ended";
    std::exchange(stream_, nullptr)->Release();
  }
  Deliver(std::move(lost));
  callbacks_.changed();
}

void WorkerUpstream::Core::OnStreamDone(const grpc::Status& result) {
  {
    MutexLock lock(mutex_);
    if (!result.ok()) {
      status_.reason = absl::StrCat("the stream to the worker ended: ", result.error_message());
    }
    if (!stopping_) ConnectLater();
  }
  callbacks_.changed();
  CallbackEnded();
}

void WorkerUpstream::Core::ConnectLater() {
  const absl::Duration delay = ReconnectDelay(limits_, attempts_++);
  ++pending_;
  alarm_ = std::make_shared<grpc::Alarm>();
  alarm_->Set(FromNow(delay), [self = shared_from_this()](bool) {
    self->Connect();
    self->CallbackEnded();
  });
}

absl::Status WorkerUpstream::Core::Submit(uint64_t attachment, uint64_t sequence_id,
                                          const SequenceSubmission& submission) {
  std::vector<wire::RouterFrame> frames =
      ToSubmitFrames(sequence_id, ToGenerateSpec(submission), limits_.submit_part_bytes);
  size_t bytes = 0;
  for (const wire::RouterFrame& frame : frames) bytes += frame.ByteSizeLong();

  MutexLock lock(mutex_);
  if (stream_ == nullptr || attachment != status_.snapshot.key.attachment) {
    return absl::UnavailableError("the worker was lost before the request was sent");
  }
  if (stream_->queue_bytes() + bytes > limits_.write_queue_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat(stream_->queue_bytes(), " bytes are waiting to be sent to the worker, and ",
                     limits_.write_queue_bytes_max, " may"));
  }
  live_[sequence_id] = {.prompt_tokens_estimate = submission.prompt_tokens_estimate};
  ++status_.snapshot.unaccepted;
  status_.snapshot.unaccepted_prompt_tokens += submission.prompt_tokens_estimate;
  for (wire::RouterFrame& frame : frames) stream_->Write(std::move(frame));
  return absl::OkStatus();
}

void WorkerUpstream::Core::Cancel(uint64_t sequence_id) {
  MutexLock lock(mutex_);
  const auto found = live_.find(sequence_id);
  if (found == live_.end()) return;
  if (!found->second.accepted) {
    --status_.snapshot.unaccepted;
    status_.snapshot.unaccepted_prompt_tokens -= found->second.prompt_tokens_estimate;
  }
  live_.erase(found);
  // Not held to write_queue_bytes_max: there is one at most for each Submit that was.
  wire::RouterFrame cancel;
  cancel.mutable_cancel()->set_sequence_id(sequence_id);
  stream_->Write(std::move(cancel));
}

UpstreamStatus WorkerUpstream::Core::status() const {
  MutexLock lock(mutex_);
  return status_;
}

void WorkerUpstream::Core::Stop() {
  std::shared_ptr<grpc::Channel> channel;  // Let go of without the lock.
  MutexLock lock(mutex_);
  stopping_ = true;
  if (alarm_ != nullptr) alarm_->Cancel();
  if (describe_ != nullptr) describe_->context.TryCancel();
  if (stream_ != nullptr) stream_->Break();
  while (pending_ > 0) idle_.Wait(mutex_);
  alarm_.reset();  // It refers back to this.
  channel = std::move(channel_);
}

void WorkerUpstream::Core::CallbackEnded() {
  MutexLock lock(mutex_);
  if (--pending_ == 0) idle_.NotifyAll();
}

void WorkerUpstream::Core::Deliver(EventsByShard events) {
  for (auto& [shard, shard_events] : events) callbacks_.deliver(shard, std::move(shard_events));
}

WorkerUpstream::WorkerUpstream(ReplicaId id, const std::string& target,
                               const std::string& router_id, const UpstreamLimits& limits,
                               Callbacks callbacks)
    : core_(std::make_shared<Core>(id, target, router_id, limits, std::move(callbacks))) {
  core_->Connect();
}

WorkerUpstream::~WorkerUpstream() { Stop(); }

absl::Status WorkerUpstream::Submit(uint64_t attachment, uint64_t sequence_id,
                                    const SequenceSubmission& submission) {
  return core_->Submit(attachment, sequence_id, submission);
}

void WorkerUpstream::Cancel(uint64_t sequence_id) { core_->Cancel(sequence_id); }

UpstreamStatus WorkerUpstream::status() const { return core_->status(); }

void WorkerUpstream::Stop() { core_->Stop(); }

}  // namespace spillway
