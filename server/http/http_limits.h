#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "server/http/pace.h"

namespace spillway {

// Everything that a client could use up. Statuses are what a client is told at the limit.
struct HttpLimits {
  // A request's head.
  size_t head_bytes_max = 32u << 10;   // request line and fields; then 431
  size_t target_bytes_max = 8u << 10;  // of the request line; then 414
  size_t fields_max = 100;             // then 431

  // A request's body.
  size_t body_bytes_max = 32u << 20;            // then 413
  size_t chunk_line_bytes_max = 1u << 10;       // a chunk's size with extensions; then 400
  size_t chunk_overhead_bytes_max = 16u << 10;  // of all extensions and trailers; then 400
  size_t refused_body_bytes_max = 64u << 10;    // read away to keep a connection; else closed

  // A connection's memory.
  size_t read_ahead_bytes_max = 64u << 10;  // pipelined bytes kept while an answer is made
  size_t unsent_bytes_max = 1u << 20;       // of a stream to a client that doesn't read; then cut

  // A process's memory, in equal shares for its threads. Over it, whoever has less than the fair
  // share of one connection isn't touched.
  int64_t input_bytes_total_max = int64_t{512} << 20;   // of heads and bodies; then 503
  int64_t unsent_bytes_total_max = int64_t{128} << 20;  // of answers; then cut at the next event
  size_t fair_bytes = 64u << 10;

  // At the limit the connection that has waited longest for a request is closed for a new one; if
  // none waits, the new one is told 503 and closed.
  int32_t connections_max = 16384;

  // Time.
  absl::Duration idle_time = absl::Seconds(75);  // between requests; nginx keeps its own for 60 s
  absl::Duration head_time = absl::Seconds(15);  // first to last byte of a head; then 408
  PaceLimits body_pace = {.grace = absl::Seconds(30),  // then 408
                          .bytes_per_s_min = 4096,
                          .stall_max = absl::Seconds(30),
                          .time_max = absl::Minutes(10)};
  PaceLimits write_pace = {.grace = absl::Seconds(30),  // then cut
                           .bytes_per_s_min = 1024,
                           .stall_max = absl::Seconds(30),
                           .time_max = absl::InfiniteDuration()};
  absl::Duration linger_time = absl::Seconds(2);  // reading on after a refusal, so that it arrives
  absl::Duration unacknowledged_time = absl::Seconds(60);  // sent bytes; then the kernel gives up
};

}  // namespace spillway
