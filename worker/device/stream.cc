#include "worker/device/stream.h"

#include <cuda_runtime_api.h>

#include "common/status_macros.h"
#include "worker/device/cuda_status.h"

namespace spillway {

absl::StatusOr<Stream> Stream::Create() {
  Stream stream;
  RETURN_IF_ERROR(CudaStatus(cudaStreamCreateWithFlags(&stream.handle_, cudaStreamNonBlocking),
                             "cudaStreamCreateWithFlags"));
  return stream;
}

Stream::~Stream() {
  if (handle_ != nullptr) cudaStreamDestroy(handle_);
}

absl::Status Stream::WaitFor(const Event& event) const {
  return CudaStatus(cudaStreamWaitEvent(handle_, event.handle(), 0), "cudaStreamWaitEvent");
}

absl::Status Stream::Synchronize() const {
  return CudaStatus(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
}

absl::StatusOr<Event> Event::Create(Timing timing) {
  Event event;
  const unsigned flags = timing == Timing::kOn ? cudaEventDefault : cudaEventDisableTiming;
  RETURN_IF_ERROR(
      CudaStatus(cudaEventCreateWithFlags(&event.handle_, flags), "cudaEventCreateWithFlags"));
  return event;
}

Event::~Event() {
  if (handle_ != nullptr) cudaEventDestroy(handle_);
}

absl::Status Event::Record(const Stream& stream) const {
  return CudaStatus(cudaEventRecord(handle_, stream.handle()), "cudaEventRecord");
}

absl::Status Event::Synchronize() const {
  return CudaStatus(cudaEventSynchronize(handle_), "cudaEventSynchronize");
}

absl::StatusOr<float> MillisecondsBetween(const Event& begin, const Event& end) {
  float milliseconds = 0;
  RETURN_IF_ERROR(CudaStatus(cudaEventElapsedTime(&milliseconds, begin.handle(), end.handle()),
                             "cudaEventElapsedTime"));
  return milliseconds;
}

}  // namespace spillway
