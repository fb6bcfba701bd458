#pragma once

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/stream.h"

struct CUgraphExec_st;

namespace spillway {

// Device work that was recorded once and is queued again with one call: what a step of hundreds of
// kernels costs the host. Move-only.
class Graph {
 public:
  Graph() = default;
  // Records what `queue` queues on `stream`, which doesn't run. In it nothing may wait for the
  // device, and addresses and shapes become part of the graph: they must stay while it is used.
  // The status of `queue` when that fails; INTERNAL when it did what can't be recorded.
  static absl::StatusOr<Graph> Capture(const Stream& stream,
                                       absl::FunctionRef<absl::Status()> queue);
  ~Graph();

  Graph(Graph&& other) noexcept { *this = std::move(other); }
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  absl::Status Launch(const Stream& stream) const;

 private:
  CUgraphExec_st* handle_ = nullptr;
};

}  // namespace spillway
