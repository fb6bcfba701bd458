#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "proto/worker.pb.h"
#include "worker/engine_types.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_service_sessions.h"

namespace spillway {

// The events of one step as frames, one or more for each router that has sequences in it, without
// load and number. A frame is cut before it is over `frame_bytes_max`, but holds at least one
// event. Events of sequences that nobody owns any more are dropped; sequences that end are
// forgotten. Moves out of `events`. Pure.
std::vector<std::pair<SessionId, std::unique_ptr<wire::WorkerFrame>>> MakeFrames(
    std::span<EngineEvent> events, const Tokenizer& tokenizer, size_t frame_bytes_max,
    RouterSessions& sessions);

}  // namespace spillway
