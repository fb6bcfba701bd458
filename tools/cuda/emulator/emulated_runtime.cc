// The CUDA runtime's calls that worker/device makes, for one emulated device whose memory is the
// host's and whose streams are idle when a call returns.

#include <cstdio>
#include <cstdlib>

#include "cuda_emulator.h"

namespace emulator {

void RunBlock(Block& state) {
  constexpr size_t kStackBytes = 128 * 1024;
  static std::vector<std::unique_ptr<char[]>> stacks;
  block = &state;
  const int count = static_cast<int>(state.size.x * state.size.y * state.size.z);
  state.fibers.resize(static_cast<size_t>(count));
  state.warps.resize(static_cast<size_t>((count + 31) / 32));
  while (static_cast<int>(stacks.size()) < count) {
    stacks.push_back(std::make_unique<char[]>(kStackBytes));
  }
  state.live = count;
  for (int i = 0; i < count; ++i) {
    ++state.warps[static_cast<size_t>(i / 32)].live;
    Fiber& fiber = state.fibers[static_cast<size_t>(i)];
    fiber.linear = i;
    fiber.thread = {static_cast<unsigned>(i) % state.size.x,
                    static_cast<unsigned>(i) / state.size.x % state.size.y, 0};
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks[static_cast<size_t>(i)].get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    makecontext(&fiber.context, Enter, 0);
  }
  int live = count;
  while (live > 0) {
    const int64_t progress = state.progress;
    live = 0;
    for (Fiber& fiber : state.fibers) {
      if (fiber.done) continue;
      state.current = &fiber;
      swapcontext(&state.scheduler, &fiber.context);
      live += fiber.done ? 0 : 1;
    }
    if (live > 0 && state.progress == progress) {
      std::fprintf(stderr, "emulator: %d threads wait at a barrier that others never reach\n",
                   live);
      std::abort();
    }
  }
}

}  // namespace emulator

namespace {
constexpr size_t kMemoryBytes = size_t{1} << 30;
}

extern "C" {
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::snprintf(p->name, sizeof(p->name), "emulator");
  p->major = 9;
  p->totalGlobalMem = kMemoryBytes;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 0;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  *free_bytes = *total = kMemoryBytes;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : "an error";
}
const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
cudaError_t cudaMalloc(void** data, size_t bytes) {
  if (bytes > kMemoryBytes) return cudaErrorMemoryAllocation;
  // The exact size, so that AddressSanitizer sees the end of each buffer.
  return posix_memalign(data, 256, bytes) == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* data) {
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** data, size_t bytes) { return cudaMalloc(data, bytes); }
cudaError_t cudaFreeHost(void* data) {
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) {
  *ms = 1;
  return cudaSuccess;
}
}
