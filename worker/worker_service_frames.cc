#include "worker/worker_service_frames.h"

#include <map>
#include <optional>

#include "worker/worker_service_wire.h"

namespace spillway {
namespace {

// Text and ids of an event, and what protobuf puts around them; rather too much than too little.
size_t EventBytes(const EngineEvent& event, const Tokenizer& tokenizer) {
  constexpr size_t kOverhead = 64;
  constexpr size_t kIdBytes = 5;
  constexpr size_t kLogprobOverhead = 24;
  const auto* delta = std::get_if<DeltaEvent>(&event.what);
  if (delta == nullptr) return kOverhead;
  size_t bytes = kOverhead + delta->text.reasoning.size() + delta->text.content.size() +
                 kIdBytes * delta->tokens.size();
  for (const ToolCallDelta& call : delta->text.tool_calls) {
    bytes += kLogprobOverhead + call.name.size() + call.arguments.size();
  }
  for (const TokenLogprobs& logprobs : delta->logprobs) {
    bytes += 2 * kLogprobOverhead + tokenizer.TokenBytes(logprobs.token).size();
    for (const TokenLogprob& top : logprobs.top) {
      bytes += kLogprobOverhead + tokenizer.TokenBytes(top.token).size();
    }
  }
  return bytes;
}

}  // namespace

std::vector<std::pair<SessionId, std::unique_ptr<wire::WorkerFrame>>> MakeFrames(
    std::span<EngineEvent> events, const Tokenizer& tokenizer, size_t frame_bytes_max,
    RouterSessions& sessions) {
  struct Open {
    size_t index;  // in `frames`
    size_t bytes = 0;
  };
  std::vector<std::pair<SessionId, std::unique_ptr<wire::WorkerFrame>>> frames;
  std::map<SessionId, Open> open;
  for (EngineEvent& event : events) {
    const std::optional<RouterSessions::Owner> owner = sessions.Find(event.sequence);
    if (!owner.has_value()) continue;  // Cancelled, or its router is gone.
    const size_t bytes = EventBytes(event, tokenizer);
    auto at = open.find(owner->session);
    if (at == open.end() || at->second.bytes + bytes > frame_bytes_max) {
      at = open.insert_or_assign(owner->session, Open{.index = frames.size()}).first;
      frames.emplace_back(owner->session, std::make_unique<wire::WorkerFrame>());
    }
    at->second.bytes += bytes;
    wire::SequenceEvent& to = *frames[at->second.index].second->add_events();
    to.set_sequence_id(owner->router_sequence);
    const bool last = std::holds_alternative<EndedEvent>(event.what) ||
                      std::holds_alternative<FailedEvent>(event.what);
    EventToWire(event, tokenizer, to);
    if (last) sessions.Forget(event.sequence);
  }
  return frames;
}

}  // namespace spillway
