// Streams, events, copies and graphs of the CUDA runtime, as late as CUDA allows: work runs when
// somebody waits for it and not before, copies from pinned memory read it only then, and a graph's
// kernels have the arguments of the moment when they were recorded.

#include "emulated_streams.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <set>

#include "cuda_emulator.h"

using Work = std::function<void()>;

struct CUgraph_st {
  std::vector<Work> nodes;
};
struct CUgraphExec_st {
  std::vector<Work> nodes;
};
struct CUstream_st {
  std::deque<Work> work;
  int64_t queued = 0;
  int64_t done = 0;
  CUgraph_st* recording = nullptr;
  bool spoiled = false;  // the recording

  void RunUntil(int64_t mark) {
    while (done < mark) {
      const Work next = std::move(work.front());
      work.pop_front();
      next();
      ++done;
    }
  }
};
struct CUevent_st {
  CUstream_st* stream = nullptr;
  int64_t mark = 0;
};

namespace emulator {
namespace {

struct Memory {
  size_t bytes = 0;
  Place place = Place::kDevice;
};
std::map<const char*, Memory> memories;  // by address
std::set<CUstream_st*> streams;

Place PlaceOf(const void* address) {
  const char* const at = static_cast<const char*>(address);
  auto memory = memories.upper_bound(at);
  if (memory == memories.begin()) return Place::kPageable;
  --memory;
  return at < memory->first + memory->second.bytes ? memory->second.place : Place::kPageable;
}

void Wait(const CUevent_st& event) {
  if (streams.contains(event.stream)) event.stream->RunUntil(event.mark);
}

}  // namespace

void Remember(void* data, size_t bytes, Place place) {
  memories[static_cast<const char*>(data)] = {bytes, place};
}
void Forget(void* data) { memories.erase(static_cast<const char*>(data)); }
size_t Allocated() {
  size_t bytes = 0;
  for (const auto& [address, memory] : memories) {
    if (memory.place == Place::kDevice) bytes += memory.bytes;
  }
  return bytes;
}

void RunAllStreams() {
  for (CUstream_st* const stream : streams) stream->RunUntil(stream->queued);
}

bool ForbiddenInCapture() {
  bool forbidden = false;
  for (CUstream_st* const stream : streams) {
    if (stream->recording == nullptr) continue;
    stream->spoiled = true;
    forbidden = true;
  }
  return forbidden;
}

void Queue(cudaStream_t stream, Work work) {
  if (stream == nullptr) return work();
  if (stream->recording != nullptr) {
    stream->recording->nodes.push_back(std::move(work));
    return;
  }
  stream->work.push_back(std::move(work));
  ++stream->queued;
}

}  // namespace emulator

using emulator::Place;

extern "C" {
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  if (emulator::PlaceOf(from) == Place::kPageable) {  // staged before the call returns
    const auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from),
                                                            static_cast<const char*>(from) + bytes);
    emulator::Queue(stream, [=] { std::memcpy(to, staged->data(), bytes); });
  } else {
    emulator::Queue(stream, [=] { std::memcpy(to, from, bytes); });
  }
  if (emulator::PlaceOf(to) == Place::kPageable) return cudaStreamSynchronize(stream);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  emulator::Queue(stream, [=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  emulator::streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->RunUntil(stream->queued);
  emulator::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (emulator::ForbiddenInCapture()) return cudaErrorStreamCaptureUnsupported;
  if (stream != nullptr) stream->RunUntil(stream->queued);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const CUevent_st marked = *event;
  emulator::Queue(stream, [marked] { emulator::Wait(marked); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream->queued};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (emulator::ForbiddenInCapture()) return cudaErrorStreamCaptureUnsupported;
  emulator::Wait(*event);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) {
  *ms = 1;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->recording = new CUgraph_st;
  stream->spoiled = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->recording;
  stream->recording = nullptr;
  if (!stream->spoiled) return cudaSuccess;
  delete *graph;
  *graph = nullptr;
  return cudaErrorStreamCaptureInvalidated;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const Work& node : exec->nodes) emulator::Queue(stream, node);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
}
