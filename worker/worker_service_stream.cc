#include "worker/worker_service_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {

AttachStream::AttachStream(grpc::CallbackServerContext* context, size_t submit_bytes_max,
                           Handlers handlers)
    : context_(context), submit_bytes_max_(submit_bytes_max), handlers_(std::move(handlers)) {}

void AttachStream::Begin() {
  self_ = shared_from_this();
  StartRead(&read_);
}

void AttachStream::Send(FramePtr frame) {
  MutexLock lock(mutex_);
  unsent_.push_back(std::move(frame));
  WriteNext();
}

void AttachStream::SendIfQuiet(FramePtr frame) {
  MutexLock lock(mutex_);
  if (!unsent_.empty()) return;
  unsent_.push_back(std::move(frame));
  WriteNext();
}

void AttachStream::WriteNext() {
  if (writing_ || unsent_.empty() || finished_) return;
  writing_ = true;
  StartWrite(unsent_.front().get());
}

void AttachStream::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  unsent_.pop_front();
  if (ok) WriteNext();
}

void AttachStream::OnReadDone(bool ok) {
  if (!ok) {
    // The router has half-closed or is gone; either way it wants nothing more of this stream.
    Close(grpc::Status::OK);
    return;
  }
  switch (read_.frame_case()) {
    case wire::RouterFrame::kSubmit:
      handlers_.submit(read_.submit().sequence_id(),
                       std::move(*read_.mutable_submit()->mutable_spec()));
      break;
    case wire::RouterFrame::kSubmitPart:
      OnSubmitPart(read_.submit_part());
      break;
    case wire::RouterFrame::kHello:
    case wire::RouterFrame::kCancel:
    case wire::RouterFrame::kAck:
    case wire::RouterFrame::kPing:
      handlers_.frame(read_);
      break;
    case wire::RouterFrame::FRAME_NOT_SET:
      break;
  }
  // After Finish nothing may be started any more.
  MutexLock lock(mutex_);
  if (!finished_) StartRead(&read_);
}

void AttachStream::OnSubmitPart(const wire::SubmitPart& part) {
  std::string& bytes = parts_[part.sequence_id()];
  bytes.append(part.spec_bytes());
  parts_bytes_ += part.spec_bytes().size();
  if (parts_bytes_ > submit_bytes_max_) {
    Close(grpc::Status(
        grpc::StatusCode::RESOURCE_EXHAUSTED,
        absl::StrCat("submissions in parts over ", submit_bytes_max_, " bytes together")));
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
  handlers_.submit(part.sequence_id(), std::move(spec));
}

void AttachStream::Cut(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) {
    Close(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::string(status.message())));
  } else {
    MutexLock lock(mutex_);  // gRPC has its executor run OnCancel, never TryCancel itself.
    if (!done_) context_->TryCancel();
  }
}

void AttachStream::Close(grpc::Status status) {
  {
    MutexLock lock(mutex_);
    if (finished_) return;
    finished_ = true;
  }
  Finish(std::move(status));
}

void AttachStream::OnCancel() { Close(grpc::Status::CANCELLED); }

void AttachStream::OnDone() {
  {
    MutexLock lock(mutex_);
    done_ = true;
  }
  handlers_.gone();
  // The last use of gRPC's half of the lifetime; the object may go with this.
  const std::shared_ptr<AttachStream> last = std::move(self_);
}

}  // namespace spillway
