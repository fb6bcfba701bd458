#pragma once

#include <cstddef>

namespace emulator {

enum class Place { kDevice, kPinned, kPageable };

// Keeps account of memory, to know what a copy may defer and how much is left.
void Remember(void* data, size_t bytes, Place place);
void Forget(void* data);
size_t Allocated();  // bytes of the device

void RunAllStreams();

// True while a stream records a graph, which the call then spoils, as on a device.
bool ForbiddenInCapture();

}  // namespace emulator
