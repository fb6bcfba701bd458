#pragma once

#include <cstdint>

namespace spillway {

// How often this process has called operator new. A test program that links allocation_counter.cc
// has its operators new and delete replaced by ones that count. Thread-safe.
int64_t AllocationCount();

}  // namespace spillway
