#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.pb.h"
#include "worker/worker_service_sessions.h"

namespace spillway {

// The gRPC half of one Attach call: reads on and on, writes what it is given one frame at a time,
// as gRPC wants it. What the frames mean is decided elsewhere (RouterSessions).
//
// Lifetime: gRPC owns the reactor until OnDone; the service's shared_ptr and the stream's own keep
// the object alive while either still calls it. Thread-safe. The handlers are called without a lock
// of this class.
class AttachStream : public grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>,
                     public std::enable_shared_from_this<AttachStream> {
 public:
  struct Handlers {
    std::function<void(const wire::RouterFrame&)> frame;                // all but submissions
    std::function<void(uint64_t sequence, wire::GenerateSpec)> submit;  // put together
    std::function<void()> gone;  // the stream is over; called once
  };
  using FramePtr = std::shared_ptr<const wire::WorkerFrame>;

  // `submit_bytes_max`: of submissions in parts that have not all arrived, together.
  AttachStream(grpc::CallbackServerContext* context, size_t submit_bytes_max, Handlers handlers);

  // Starts reading; the stream keeps itself alive until OnDone.
  void Begin();

  // Queues a frame; dropped when the stream is over. The queue is bounded by what RouterSessions
  // keeps for the router.
  void Send(FramePtr frame) EXCLUDES(mutex_);
  // As Send, but only while nothing else is on its way.
  void SendIfQuiet(FramePtr frame) EXCLUDES(mutex_);

  // Ends the stream from our side. A router that broke the protocol is told so; any other may not
  // be reading, so the call is broken off. Not with a lock that a handler takes.
  void Cut(const absl::Status& status) EXCLUDES(mutex_);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void OnSubmitPart(const wire::SubmitPart& part);
  void Close(grpc::Status status) EXCLUDES(mutex_);
  void WriteNext() REQUIRES(mutex_);

  grpc::CallbackServerContext* const context_;
  const size_t submit_bytes_max_;
  const Handlers handlers_;

  // gRPC's read callback only: one read is in flight at a time.
  wire::RouterFrame read_;
  std::unordered_map<uint64_t, std::string> parts_;  // of submissions that have not all arrived
  size_t parts_bytes_ = 0;

  Mutex mutex_;
  std::deque<FramePtr> unsent_ GUARDED_BY(mutex_);  // the front is being written
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;  // Finish() was called: nothing may be started
  bool done_ GUARDED_BY(mutex_) = false;      // OnDone() came: the context is gone
  std::shared_ptr<AttachStream> self_;
};

}  // namespace spillway
