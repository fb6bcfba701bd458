#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

// Everything that a client could use up.
struct HttpLimits {
  uint32_t head_bytes_max = 64u << 10;      // request line and headers; then 431
  size_t body_bytes_max = 32u << 20;        // then 413
  size_t read_ahead_bytes_max = 64u << 10;  // pipelined bytes kept while an answer is made
  size_t unsent_bytes_max = 4u << 20;       // of a stream to a client that doesn't read; then cut
  int32_t connections_max = 8192;           // then 503 and closed
  absl::Duration idle_time = absl::Seconds(75);   // between requests; nginx keeps its own for 60 s
  absl::Duration head_time = absl::Seconds(15);   // first to last byte of a head; then 408
  absl::Duration body_time = absl::Seconds(120);  // to the last byte of a body; then 408
  absl::Duration write_time = absl::Seconds(30);  // of one write to a client that doesn't read
  absl::Duration linger_time = absl::Seconds(2);  // reading on after a refusal, so that it arrives
};

}  // namespace spillway
