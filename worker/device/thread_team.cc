#include "worker/device/thread_team.h"

#include <pthread.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/device/cpu_isa.h"

namespace spillway {
namespace {

// A pause takes about 40 ns on Skylake and later: 10 µs in all, twice what it costs to park and
// wake again.
constexpr int32_t kSpinCount = 256;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadTeam::ThreadTeam(int32_t thread_count)
    : size_(thread_count), spin_count_(thread_count <= UsableCoreCount() ? kSpinCount : 0) {
  CHECK(thread_count > 0);
  threads_.reserve(static_cast<size_t>(size_ - 1));
  for (int32_t thread = 1; thread < size_; ++thread) {
    threads_.emplace_back([this, thread] { Work(thread); });
    pthread_setname_np(threads_.back().native_handle(), absl::StrCat("team-", thread).c_str());
  }
}

ThreadTeam::~ThreadTeam() {
  work_ = nullptr;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::Run(absl::FunctionRef<void(int32_t thread)> work) {
  if (size_ == 1) return work(0);
  work_ = &work;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  work(0);
  Barrier();
}

void ThreadTeam::Barrier() {
  if (size_ == 1) return;
  // The phase can't pass before this thread arrives, so reading it first is safe.
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(size_)) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  } else {
    WaitForChange(phase_, phase);
  }
}

void ThreadTeam::Work(int32_t thread) {
  for (uint32_t generation = 0;; ++generation) {
    WaitForChange(generation_, generation);
    if (work_ == nullptr) return;
    (*work_)(thread);
    Barrier();
  }
}

void ThreadTeam::WaitForChange(const std::atomic<uint32_t>& value, uint32_t old) const {
  for (int32_t spin = 0; spin < spin_count_; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace spillway
