#include "worker/device/graph.h"

#include <cuda_runtime_api.h>

#include "common/status_macros.h"
#include "worker/device/cuda_status.h"

namespace spillway {

absl::StatusOr<Graph> Graph::Capture(const Stream& stream,
                                     absl::FunctionRef<absl::Status()> queue) {
  RETURN_IF_ERROR(
      CudaStatus(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal),
                 "cudaStreamBeginCapture"));
  const absl::Status queued = queue();
  cudaGraph_t recorded = nullptr;
  // Also after a failure, which leaves the stream capturing otherwise.
  const absl::Status ended =
      CudaStatus(cudaStreamEndCapture(stream.handle(), &recorded), "cudaStreamEndCapture");
  Graph graph;
  absl::Status status = queued.ok() ? ended : queued;
  if (status.ok()) {
    status = CudaStatus(cudaGraphInstantiate(&graph.handle_, recorded, 0), "cudaGraphInstantiate");
  }
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  if (!status.ok()) return status;
  return graph;
}

Graph::~Graph() {
  if (handle_ != nullptr) cudaGraphExecDestroy(handle_);
}

absl::Status Graph::Launch(const Stream& stream) const {
  return CudaStatus(cudaGraphLaunch(handle_, stream.handle()), "cudaGraphLaunch");
}

}  // namespace spillway
