#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace spillway {

// A request of a real chat service, of which only sizes are known.
struct TracedRequest {
  absl::Duration arrival;  // since the first
  int32_t prompt_tokens = 0;
  int32_t output_tokens = 0;
  // One for each 512 tokens of its prompt: equal ones are equal prefixes. Empty: not known.
  std::vector<uint64_t> prefix_ids;
};

// The first `count` requests; nullopt where the file isn't there. The process ends when it can't be
// read. Both are described in the README beside them.
std::optional<std::vector<TracedRequest>> ReadAzureTrace(const std::string& gz_path, size_t count);
std::optional<std::vector<TracedRequest>> ReadMooncakeTrace(const std::string& gz_path,
                                                            size_t count);

}  // namespace spillway
