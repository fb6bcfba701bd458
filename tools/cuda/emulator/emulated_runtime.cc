// Blocks of emulated threads, and the CUDA runtime's calls about devices and memory: one device,
// whose memory is the host's.

#include <cstdio>
#include <cstdlib>

#include "cuda_emulator.h"
#include "emulated_streams.h"

#if !defined(__x86_64__)
#error "the fibers' switch is written for x86-64"
#endif

// The System V ABI's callee-saved registers; the return address is what the call pushed.
asm(R"(
.text
.globl emulator_switch
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace emulator {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
constexpr size_t kDeviceBytes = size_t{256} << 20;

// A fiber's first and only function. It never returns: its frame stays as it is.
__attribute__((no_sanitize("address"))) void Enter() {
  (*block->body)();
  block->current->done = true;
  --block->live;
  --MyWarp().live;
  ++block->progress;
  Yield();
  std::abort();
}

// A stack on which emulator_switch() finds zeros for all registers and Enter() to return to.
void* NewStackPointer(char* stack) {
  auto top = reinterpret_cast<uintptr_t>(stack + kStackBytes) & ~uintptr_t{15};
  auto* const words = reinterpret_cast<void**>(top) - 8;
  for (int i = 0; i < 8; ++i) words[i] = nullptr;
  words[6] = reinterpret_cast<void*>(&Enter);
  return words;
}

}  // namespace

void RunBlock(Block& state) {
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
    fiber.stack_pointer = NewStackPointer(stacks[static_cast<size_t>(i)].get());
  }
  int live = count;
  while (live > 0) {
    const int64_t progress = state.progress;
    live = 0;
    for (Fiber& fiber : state.fibers) {
      if (fiber.done) continue;
      state.current = &fiber;
      emulator_switch(&state.scheduler, fiber.stack_pointer);
      live += fiber.done ? 0 : 1;
    }
    if (live > 0 && state.progress == progress) {
      std::fprintf(stderr, "emulator: %d threads wait at a barrier that others never reach\n",
                   live);
      std::abort();
    }
  }
}

void RunGrid(dim3 grid, dim3 threads, const std::function<void()>& body) {
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        Block state;
        state.index = {x, y, z};
        state.size = threads;
        state.grid = grid;
        state.body = &body;
        RunBlock(state);
      }
    }
  }
}

}  // namespace emulator

extern "C" {
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {};
  std::snprintf(p->name, sizeof(p->name), "emulator");
  p->major = 9;
  p->totalGlobalMem = emulator::kDeviceBytes;
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
  *total = emulator::kDeviceBytes;
  *free_bytes = emulator::kDeviceBytes - emulator::Allocated();
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    default:
      return "an error";
  }
}
const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
cudaError_t cudaMalloc(void** data, size_t bytes) {
  if (emulator::ForbiddenInCapture()) return cudaErrorStreamCaptureUnsupported;
  if (bytes > emulator::kDeviceBytes - emulator::Allocated()) return cudaErrorMemoryAllocation;
  // The exact size, so that AddressSanitizer sees the end of each buffer.
  if (posix_memalign(data, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  emulator::Remember(*data, bytes, emulator::Place::kDevice);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  if (emulator::ForbiddenInCapture()) return cudaErrorStreamCaptureUnsupported;
  if (posix_memalign(data, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  emulator::Remember(*data, bytes, emulator::Place::kPinned);
  return cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  emulator::RunAllStreams();
  emulator::Forget(data);
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }
}
