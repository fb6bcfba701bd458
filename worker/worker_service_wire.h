#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/worker.pb.h"
#include "worker/engine_types.h"
#include "worker/prompt_builder.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_identity.h"

namespace spillway {

// Translation between the wire (proto/worker.proto) and the worker's own types. Pure.

namespace wire = worker::v1;

// Why a submitted spec can't become a request.
struct SpecRefusal {
  absl::Status status;  // OK: it can
  std::string reason;
  int32_t prompt_tokens = 0;
  std::string field;  // of the request, which is wrong; empty where it is none of them
};

// What a spec is checked against.
struct SpecContext {
  const PromptBuilder& prompts;
  int32_t vocabulary_size = 0;
  int32_t sequence_tokens_max = 0;        // prompt and output together
  SamplingParams sampling_defaults = {};  // for what the spec leaves open
  bool takes_grammars = false;            // outputs can be constrained
};

PromptSource PromptFromWire(const wire::Prompt& prompt);

// Renders, tokenizes and checks. new_tokens_max is cut to the room that the context leaves; a
// prompt that leaves none is refused as "context_length_exceeded". `id`, `arrival` and the deadline
// (relative to `arrival`) are filled in.
SpecRefusal RequestFromWire(const wire::GenerateSpec& spec, const SpecContext& context,
                            SequenceId id, absl::Time arrival, EngineRequest& request);

// Fills `to` but for the sequence id. Moves out of `event`.
void EventToWire(EngineEvent& event, const Tokenizer& tokenizer, wire::SequenceEvent& to);

// What Describe tells of every worker.
void IdentityToWire(const WorkerIdentity& identity, wire::WorkerDescription& to);

// What Describe tells: the fields that a spec may leave open.
void DefaultsToWire(const SamplingParams& defaults, wire::SamplingParams& to);

void LoadToWire(const EngineLoad& load, bool draining, wire::WorkerLoad& to);

// A FailedEvent that never reached the engine.
void RefusalToWire(const SpecRefusal& refusal, wire::SequenceEvent& to);

}  // namespace spillway
