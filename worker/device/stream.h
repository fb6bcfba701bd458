#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// CUDA's own types, without its headers: cudaStream_t and cudaEvent_t are pointers to these.
struct CUstream_st;
struct CUevent_st;

namespace spillway {

class Event;

// A queue of device work, in order. It doesn't wait for the legacy default stream.
//
// Belongs to the device that was this thread's when it was made. Move-only.
class Stream {
 public:
  Stream() = default;  // of no device: for a move to fill
  static absl::StatusOr<Stream> Create();
  ~Stream();

  Stream(Stream&& other) noexcept { *this = std::move(other); }
  Stream& operator=(Stream&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  // Work queued from here on waits until `event` has passed.
  absl::Status WaitFor(const Event& event) const;
  // Blocks until all that is queued has run; reports errors of kernels.
  absl::Status Synchronize() const;

  CUstream_st* handle() const { return handle_; }

 private:
  CUstream_st* handle_ = nullptr;
};

// A mark in a stream. Move-only.
class Event {
 public:
  enum class Timing { kOff, kOn };

  Event() = default;
  // With Timing::kOff it is cheaper, and Milliseconds() doesn't work.
  static absl::StatusOr<Event> Create(Timing timing = Timing::kOff);
  ~Event();

  Event(Event&& other) noexcept { *this = std::move(other); }
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  // Moves the mark to the end of what is queued now.
  absl::Status Record(const Stream& stream) const;
  // Blocks until the work before the mark has run; OK when it was never recorded.
  absl::Status Synchronize() const;

  CUevent_st* handle() const { return handle_; }

 private:
  CUevent_st* handle_ = nullptr;
};

// Device time between two marks that have passed, both with timing.
absl::StatusOr<float> MillisecondsBetween(const Event& begin, const Event& end);

}  // namespace spillway
