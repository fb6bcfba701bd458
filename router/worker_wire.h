#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "router/replica.h"
#include "router/text_embedder.h"
#include "router/upstream_event.h"

namespace spillway::worker::v1 {
class EmbedReply;
class EmbedRequest;
class GenerateSpec;
class RouterFrame;
class SequenceEvent;
class WorkerLoad;
}  // namespace spillway::worker::v1

namespace spillway {

// Between our plain types and proto/worker.proto. Pure.

worker::v1::GenerateSpec ToGenerateSpec(const SequenceSubmission& submission);

// One Submit, or SubmitParts of at most `part_bytes` each when the serialised spec is longer.
std::vector<worker::v1::RouterFrame> ToSubmitFrames(uint64_t sequence_id,
                                                    const worker::v1::GenerateSpec& spec,
                                                    size_t part_bytes);

// Takes the text out of `event`. nullopt when it says nothing that this version knows. What a peer
// can get wrong (a made-up code or reason, a finish without a reason) becomes a FailedEvent.
std::optional<UpstreamEvent> FromSequenceEvent(worker::v1::SequenceEvent& event);

worker::v1::EmbedRequest ToEmbedRequest(const EmbedCall& call);

// INTERNAL unless `reply` has `inputs` vectors, none of them empty.
absl::StatusOr<EmbedPart> FromEmbedReply(const worker::v1::EmbedReply& reply, size_t inputs);

ReplicaLoad FromWorkerLoad(const worker::v1::WorkerLoad& load);

}  // namespace spillway
