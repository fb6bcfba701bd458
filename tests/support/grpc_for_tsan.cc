// Tells ThreadSanitizer what gRPC guarantees. Linked into every program of the tsan preset that
// uses gRPC (cmake/Spillway.cmake), and into nothing else.
//
// Debian's gRPC and abseil are not instrumented, and abseil's mutexes are futexes that TSan doesn't
// see. So TSan takes each hand-over through gRPC for a race: of an operation to its callback, of a
// call from the thread that began it to the one that goes on with it. But gRPC's own templates are
// compiled into our programs, and they reach its core through a few C functions. This file stands
// before those (the dynamic linker takes the program's before the library's) and notes, for each
// operation apart, "what was before its start comes before its callback". Nothing else is ordered
// by it: races of our own between two operations are still found.
//
// Itself not instrumented: it has no frames in TSan's reports and its own accesses don't count.

#include <dlfcn.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "grpc/grpc.h"
#include "grpcpp/alarm.h"
#include "grpcpp/server.h"
#include "grpcpp/support/callback_common.h"
#include "grpcpp/support/server_callback.h"

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}

namespace {

// The library's function behind the one of the same name here.
template <typename Function>
Function* Real(Function*, const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<Function*>(found);
}

using Run = void (*)(grpc_completion_queue_functor*, int);
Run real_run_with_success = nullptr;
Run real_run_with_status = nullptr;

void RunWithSuccess(grpc_completion_queue_functor* functor, int ok) {
  __tsan_acquire(functor);
  real_run_with_success(functor, ok);
}

void RunWithStatus(grpc_completion_queue_functor* functor, int ok) {
  __tsan_acquire(functor);
  real_run_with_status(functor, ok);
}

// Learns the functions that the two kinds of callback tags run; they are private to them.
bool LearnRunFunctions() {
  grpc::internal::CallbackWithSuccessTag success;
  success.Set(nullptr, [](bool) {}, nullptr, false);
  real_run_with_success = success.functor_run;
  grpc::internal::CallbackWithStatusTag status(nullptr, [](grpc::Status) {}, nullptr);
  real_run_with_status = status.functor_run;
  return true;
}

// What a thread left when it let go of a call comes before what is made in a new call's memory
// (gRPC takes that from a pool, unseen), and before the end of Server::Wait(). And what the library
// prepares for a call (the last of it is a metadata array) comes before the call's handler, which
// begins with its memory.
char calls;

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t nops, void* tag,
                                      void* reserved) {
  static const auto real = Real(&grpc_call_start_batch, "grpc_call_start_batch");
  static const bool learnt = LearnRunFunctions();
  static_cast<void>(learnt);
  // A tag of the callback API begins with its functor's function; any other with a vtable.
  auto* const functor = static_cast<grpc_completion_queue_functor*>(tag);
  if (functor->functor_run == real_run_with_success) functor->functor_run = &RunWithSuccess;
  if (functor->functor_run == real_run_with_status) functor->functor_run = &RunWithStatus;
  __tsan_release(tag);
  return real(call, ops, nops, tag, reserved);
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static const auto real = Real(&grpc_completion_queue_pluck, "grpc_completion_queue_pluck");
  const grpc_event event = real(queue, tag, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(tag);
  return event;
}

void grpc_call_ref(grpc_call* call) {
  static const auto real = Real(&grpc_call_ref, "grpc_call_ref");
  if (call != nullptr) real(call);  // LearnRunFunctions() has none.
}

void grpc_call_unref(grpc_call* call) {
  static const auto real = Real(&grpc_call_unref, "grpc_call_unref");
  __tsan_release(&calls);
  real(call);
}

void grpc_metadata_array_init(grpc_metadata_array* array) {
  static const auto real = Real(&grpc_metadata_array_init, "grpc_metadata_array_init");
  real(array);
  __tsan_release(&calls);
}

void* grpc_call_arena_alloc(grpc_call* call, size_t size) {
  static const auto real = Real(&grpc_call_arena_alloc, "grpc_call_arena_alloc");
  __tsan_acquire(&calls);
  return real(call, size);
}

}  // extern "C"

namespace grpc {

void Alarm::SetInternal(gpr_timespec deadline, std::function<void(bool)> function) {
  using Function = std::function<void(bool)>;
  using Method = void(Alarm*, gpr_timespec, Function);
  static const auto real = Real(static_cast<Method*>(nullptr),
                                "_ZN4grpc5Alarm11SetInternalE12gpr_timespecSt8functionIFvbEE");
  auto* const handed_over = std::make_unique<Function>(std::move(function)).release();
  __tsan_release(handed_over);
  real(this, deadline, [handed_over](bool ok) {
    __tsan_acquire(handed_over);
    const std::unique_ptr<Function> owned(handed_over);
    (*owned)(ok);
  });
}

void Server::Wait() {
  static const auto real = Real(static_cast<void (*)(Server*)>(nullptr), "_ZN4grpc6Server4WaitEv");
  real(this);
  __tsan_acquire(&calls);
}

namespace internal {

// These two hand a reaction to gRPC's executor. Here a thread of its own runs it: TSan sees what is
// before a thread's start. What came before the earlier decrements of the counters is acquired
// here, since the last one may have been in the library.
void ServerCallbackCall::ScheduleOnDone(bool inline_ondone) {
  __tsan_acquire(&callbacks_outstanding_);
  if (inline_ondone) return CallOnDone();
  std::thread([this] { CallOnDone(); }).detach();
}

void ServerCallbackCall::CallOnCancel(ServerReactor* reactor) {
  __tsan_acquire(&on_cancel_conditions_remaining_);
  if (reactor->InternalInlineable()) return reactor->OnCancel();
  Ref();
  std::thread([this, reactor] {
    reactor->OnCancel();
    MaybeDone();
  }).detach();
}

}  // namespace internal
}  // namespace grpc
