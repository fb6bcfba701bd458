#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/embedding_request.h"

namespace spillway {

// A part of a request that goes to one worker.
struct EmbedCall {
  uint64_t id = 0;  // unique among all of a router
  std::vector<EmbeddingInput> inputs;
  bool truncate = false;
  absl::Duration time_left = absl::InfiniteDuration();
};

struct EmbedPart {
  std::vector<std::vector<float>> vectors;  // as many as the call had inputs
  int64_t prompt_tokens = 0;
};

// Called once, on a thread of gRPC's; must not block.
using EmbedDone = std::function<void(absl::StatusOr<EmbedPart>)>;

// Gives texts to one worker. Thread-safe.
class TextEmbedder {
 public:
  virtual ~TextEmbedder() = default;

  // `done` gets UNAVAILABLE when the worker is away, CANCELLED after CancelEmbed(), INTERNAL when
  // its answer is none, and otherwise what the worker says. It may be called at once.
  virtual void Embed(const EmbedCall& call, EmbedDone done) = 0;

  // Unknown ids are ignored.
  virtual void CancelEmbed(uint64_t call_id) = 0;
};

}  // namespace spillway
