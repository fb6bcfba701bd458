#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"

namespace spillway {

class TokenAccount;

// A text, or its token ids as they are.
using EmbeddingInput = std::variant<std::string, std::vector<int32_t>>;

// Texts to be made vectors of, in no dialect.
struct EmbeddingRequest {
  // As GenerateRequest has them.
  std::string request_id;
  std::string model;
  std::string service;
  std::string tenant;
  std::string token_name;
  std::shared_ptr<TokenAccount> account;
  std::string traceparent;

  std::vector<EmbeddingInput> inputs;  // at least one
  bool truncate = false;               // a text that is too long loses its end; else it is refused
  absl::Duration timeout = absl::InfiniteDuration();
};

struct EmbeddingAnswer {
  std::string service;
  std::vector<std::vector<float>> vectors;  // in the inputs' order
  int64_t prompt_tokens = 0;
};

}  // namespace spillway
