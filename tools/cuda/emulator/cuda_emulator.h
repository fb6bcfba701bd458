#pragma once

// CUDA's kernel language on a CPU, as far as our kernels use it: each CUDA thread of a block is a
// fiber, blocks run one after another. Finds wrong indices, masks, merges and barriers (a barrier
// that some threads skip hangs and is reported). Says nothing about races between barriers, memory
// order, speed, or what the device's own instructions do beyond their manual.
//
// Streams are as late as they may be (emulated_streams.cc): nothing runs before somebody waits for
// it, so that host memory which is reused too early is found.
//
// translate.py rewrites a .cu file to C++ that includes this header before everything else.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#undef __global__
#undef __device__
#undef __shared__
#undef __launch_bounds__
#undef __forceinline__
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block runs at a time, so that a static is a block's.
#define __shared__ static

namespace emulator {

struct Fiber {
  void* stack_pointer = nullptr;  // while it doesn't run
  uint3 thread = {0, 0, 0};
  int linear = 0;
  bool done = false;
};

struct Block {
  std::vector<Fiber> fibers;
  void* scheduler = nullptr;  // its stack pointer while a fiber runs
  Fiber* current = nullptr;
  uint3 index = {0, 0, 0};
  dim3 size;
  dim3 grid;
  const std::function<void()>* body = nullptr;
  int64_t progress = 0;  // of barriers: stands still when all wait in vain
  int live = 0;          // threads that haven't returned
  // __syncthreads
  int arrived = 0;
  int64_t generation = 0;
  // Per warp: values given and rounds of exchange.
  struct Warp {
    uint32_t given[32][8];
    int arrived = 0;
    int64_t generation = 0;
    int live = 0;
  };
  std::vector<Warp> warps;
};

inline Block* block = nullptr;

// Goes on where `to` was left, and leaves what runs now in `from`.
extern "C" void emulator_switch(void** from, void* to);

inline void Yield() { emulator_switch(&block->current->stack_pointer, block->scheduler); }

// Waits until all of the `live` threads have come.
inline void Barrier(int& arrived, int64_t& generation, const int& live) {
  const int64_t mine = generation;
  ++arrived;
  while (generation == mine) {
    if (arrived >= live) {
      arrived = 0;
      ++generation;
      ++block->progress;
      break;
    }
    Yield();
  }
}

inline void SyncThreads() { Barrier(block->arrived, block->generation, block->live); }

inline Block::Warp& MyWarp() {
  return block->warps[static_cast<size_t>(block->current->linear / 32)];
}
inline int Lane() { return block->current->linear % 32; }

inline void SyncWarp() {
  Block::Warp& warp = MyWarp();
  Barrier(warp.arrived, warp.generation, warp.live);
}

// Every lane gives up to 8 words; `read` sees all lanes' and is done before anyone gives again.
template <typename Read>
auto Exchange(const uint32_t* words, int count, Read read) {
  Block::Warp& warp = MyWarp();
  std::memcpy(warp.given[Lane()], words, static_cast<size_t>(count) * 4);
  SyncWarp();
  const auto result = read(warp.given);
  SyncWarp();
  return result;
}

template <typename T>
T Shuffle(T value, int from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  uint32_t words[2];
  std::memcpy(words, &value, sizeof(T));
  return Exchange(words, sizeof(T) / 4, [from](const uint32_t(&given)[32][8]) {
    T result;
    std::memcpy(&result, given[from], sizeof(T));
    return result;
  });
}

void RunBlock(Block& state);

void RunGrid(dim3 grid, dim3 threads, const std::function<void()>& body);

// Appends work to a stream, or to the graph that it records.
void Queue(cudaStream_t stream, std::function<void()> work);

// K<<<grid, threads, shared, stream>>>(…): `body` has copies of the arguments.
inline void Launch(dim3 grid, dim3 threads, cudaStream_t stream, std::function<void()> body) {
  Queue(stream, [=] { RunGrid(grid, threads, body); });
}

}  // namespace emulator

#define threadIdx (emulator::block->current->thread)
#define blockIdx (emulator::block->index)
#define blockDim (emulator::block->size)
#define gridDim (emulator::block->grid)

using std::isfinite;
using std::isnan;
using std::max;
using std::min;

inline void __syncthreads() { emulator::SyncThreads(); }
inline void __syncwarp() { emulator::SyncWarp(); }
template <typename T>
T __shfl_xor_sync(uint32_t, T value, int mask) {
  return emulator::Shuffle(value, emulator::Lane() ^ mask);
}
template <typename T>
T __shfl_sync(uint32_t, T value, int from) {
  return emulator::Shuffle(value, from);
}
inline bool __all_sync(uint32_t, bool value) {
  const uint32_t word = value ? 1 : 0;
  return emulator::Exchange(&word, 1, [](const uint32_t(&given)[32][8]) {
    bool all = true;
    for (int lane = 0; lane < 32; ++lane) all = all && given[lane][0] != 0;
    return all;
  });
}
inline int __reduce_add_sync(uint32_t, int value) {
  const auto word = static_cast<uint32_t>(value);
  return emulator::Exchange(&word, 1, [](const uint32_t(&given)[32][8]) {
    uint32_t sum = 0;
    for (int lane = 0; lane < 32; ++lane) sum += given[lane][0];
    return static_cast<int>(sum);
  });
}
inline int __dp4a(int a, int b, int sum) {
  for (int i = 0; i < 4; ++i) {
    sum += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
  }
  return sum;
}
inline float __fdiv_rn(float a, float b) { return a / b; }
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyint(value)); }
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<uint32_t>(bits)); }
inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }
inline float __expf(float value) { return std::exp(value); }
inline float __logf(float value) { return std::log(value); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(uint64_t{a} * b >> 32);
}
template <typename T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at += value;
  return before;
}
template <typename T>
T atomicOr(T* at, T value) {
  const T before = *at;
  *at |= value;
  return before;
}
template <typename T>
T atomicMax(T* at, T value) {
  const T before = *at;
  *at = std::max(*at, value);
  return before;
}
