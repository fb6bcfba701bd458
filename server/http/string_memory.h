#pragma once

#include <string>

namespace spillway {

// What a string holds on the heap.
inline size_t HeapBytes(const std::string& text) {
  return text.capacity() > std::string().capacity() ? text.capacity() : 0;
}

// Empties it and gives its memory back: assigning an empty string keeps it (libstdc++ copies what
// fits into the object itself).
inline void ReleaseMemory(std::string& text) { std::string().swap(text); }

}  // namespace spillway
