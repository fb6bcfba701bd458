#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace spillway {

// What a request of any dialect may hold.
struct DialectLimits {
  size_t messages_max = 4096;
  size_t stop_strings_max = 16;  // OpenAI's own limit is 4
  size_t stop_string_bytes_max = 1024;
  size_t stop_token_ids_max = 256;
  size_t logit_bias_max = 1024;
  size_t prompt_token_ids_max = 4u << 20;
  int32_t choices_max = 16;
  size_t prompts_max = 128;  // of /v1/completions
  size_t answers_max = 256;  // prompts times choices
  size_t embedding_inputs_max = 2048;
  int32_t new_tokens_max = 1 << 24;
  absl::Duration request_time = absl::Hours(1);
};

struct StreamTimings {
  // A stream's 200 goes out when prefill begins, or this long after the request was accepted: a
  // proxy's 60 s limit must not cut a long wait.
  absl::Duration start_after_accepted = absl::Seconds(20);
  absl::Duration keep_alive_every = absl::Seconds(15);  // while nothing else is written
};

}  // namespace spillway
