#include "worker/worker_service_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/logging.h"

namespace spillway {

WorkerServiceSession::WorkerServiceSession(grpc::CallbackServerContext* context,
                                           const Limits& limits, Handlers handlers)
    : context_(context), limits_(limits), handlers_(std::move(handlers)) {}

void WorkerServiceSession::Begin() {
  self_ = shared_from_this();
  StartRead(&read_);
}

void WorkerServiceSession::Send(std::unique_ptr<wire::WorkerFrame> frame) {
  {
    MutexLock lock(mutex_);
    if (finished_ || cut_off_) return;
    frame->set_frame_number(++frame_number_);
    unsent_bytes_ += frame->ByteSizeLong();
    unsent_.push_back(std::move(frame));
    cut_off_ = unsent_bytes_ > limits_.unsent_bytes_max;
    if (!cut_off_) return WriteNext();
  }
  LogWarning("a router doesn't read its stream; cutting it off");
  context_->TryCancel();  // Without the lock: OnCancel may come from within.
}

void WorkerServiceSession::WriteNext() {
  if (writing_ || unsent_.empty() || finished_) return;
  writing_ = true;
  StartWrite(unsent_.front().get());
}

void WorkerServiceSession::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  unsent_bytes_ -= unsent_.front()->ByteSizeLong();
  unsent_.pop_front();
  if (ok) WriteNext();
}

void WorkerServiceSession::OnReadDone(bool ok) {
  if (!ok) {
    // The router has half-closed or is gone; either way it wants nothing more.
    Close(grpc::Status::OK);
    return;
  }
  switch (read_.frame_case()) {
    case wire::RouterFrame::kSubmit:
      handlers_.submit(*this, read_.submit().sequence_id(),
                       std::move(*read_.mutable_submit()->mutable_spec()));
      break;
    case wire::RouterFrame::kSubmitPart:
      OnSubmitPart(read_.submit_part());
      break;
    case wire::RouterFrame::kCancel:
      handlers_.cancel(*this, read_.cancel().sequence_id());
      break;
    case wire::RouterFrame::kHello:
    case wire::RouterFrame::kAck:  // Frames are not kept for a re-attach as yet.
    case wire::RouterFrame::FRAME_NOT_SET:
      break;
  }
  // After Finish nothing may be started any more.
  MutexLock lock(mutex_);
  if (!finished_) StartRead(&read_);
}

void WorkerServiceSession::OnSubmitPart(const wire::SubmitPart& part) {
  std::string& bytes = parts_[part.sequence_id()];
  bytes.append(part.spec_bytes());
  parts_bytes_ += part.spec_bytes().size();
  if (parts_bytes_ > limits_.submit_bytes_max) {
    Close(grpc::Status(
        grpc::StatusCode::RESOURCE_EXHAUSTED,
        absl::StrCat("submissions in parts over ", limits_.submit_bytes_max, " bytes together")));
    return;
  }
  if (!part.last()) return;
  wire::GenerateSpec spec;
  const bool parsed = spec.ParseFromString(bytes);
  parts_bytes_ -= bytes.size();
  parts_.erase(part.sequence_id());
  if (!parsed) {
    Close(
        grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "SubmitParts don't make a GenerateSpec"));
    return;
  }
  handlers_.submit(*this, part.sequence_id(), std::move(spec));
}

void WorkerServiceSession::Close(grpc::Status status) {
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    finished_ = true;
  }
  Finish(std::move(status));
}

void WorkerServiceSession::OnCancel() { Close(grpc::Status::CANCELLED); }

void WorkerServiceSession::OnDone() {
  handlers_.gone(*this);
  // The last use of gRPC's half of the lifetime; the object may go with this.
  const std::shared_ptr<WorkerServiceSession> last = std::move(self_);
}

}  // namespace spillway
