#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "common/mutex.h"
#include "grpcpp/grpcpp.h"
#include "proto/worker.pb.h"

namespace spillway {

namespace wire = worker::v1;

// One router's Attach stream. Reads are always drained; writes queue up to a limit, beyond which
// the router is cut off: a router that doesn't read must not cost unbounded memory.
//
// Lifetime: gRPC owns the reactor until OnDone; the service's shared_ptr and the session's own keep
// the object alive while either still calls it. Thread-safe.
class WorkerServiceSession : public grpc::ServerBidiReactor<wire::RouterFrame, wire::WorkerFrame>,
                             public std::enable_shared_from_this<WorkerServiceSession> {
 public:
  struct Handlers {
    std::function<void(WorkerServiceSession&, uint64_t sequence, wire::GenerateSpec)> submit;
    std::function<void(WorkerServiceSession&, uint64_t sequence)> cancel;
    std::function<void(WorkerServiceSession&)> gone;  // the stream is over; called once
  };
  struct Limits {
    size_t submit_bytes_max;
    size_t unsent_bytes_max;
  };

  WorkerServiceSession(grpc::CallbackServerContext* context, const Limits& limits,
                       Handlers handlers);

  // Starts reading; the session keeps itself alive until OnDone.
  void Begin();

  // Numbers and queues a frame. Dropped when the stream is over.
  void Send(std::unique_ptr<wire::WorkerFrame> frame) EXCLUDES(mutex_);

  // Ends the stream from our side, with `status`.
  void Close(grpc::Status status) EXCLUDES(mutex_);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void OnSubmitPart(const wire::SubmitPart& part);
  void WriteNext() REQUIRES(mutex_);

  grpc::CallbackServerContext* const context_;
  const Limits limits_;
  const Handlers handlers_;

  // gRPC's read callback only: one read is in flight at a time.
  wire::RouterFrame read_;
  std::unordered_map<uint64_t, std::string> parts_;  // of submissions that have not all arrived
  size_t parts_bytes_ = 0;

  Mutex mutex_;
  std::deque<std::unique_ptr<wire::WorkerFrame>> unsent_ GUARDED_BY(mutex_);
  size_t unsent_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t frame_number_ GUARDED_BY(mutex_) = 0;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool cut_off_ GUARDED_BY(mutex_) = false;   // too much is unsent; being cancelled
  bool finished_ GUARDED_BY(mutex_) = false;  // Finish() was called: nothing may be started
  std::shared_ptr<WorkerServiceSession> self_;
};

}  // namespace spillway
