#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "router/generate_request.h"
#include "server/dialects/openai_endpoint.h"
#include "server/dialects/openai_logprobs.h"

namespace spillway {

// What every chunk and answer of one request repeats.
struct OpenAiIdentity {
  OpenAiEndpoint endpoint = OpenAiEndpoint::kChat;
  std::string id;         // "chatcmpl-…"
  int64_t created_s = 0;  // Unix time
  std::string model;      // as the client named it
  std::string fingerprint;
};

// Writes one request's server-sent events. The constant part of a chunk is made once; a token costs
// the escaping of its text and two copies. Every event appended is whole: "data: …\n\n", its line
// under 64 KiB, which is where one-api's reader gives up.
//
// Every chat delta has "content": PAI's web UI crashes on a chunk without it.
class OpenAiChunkWriter {
 public:
  // With `usage_null` every chunk says "usage":null, as it must when a usage chunk will follow.
  OpenAiChunkWriter(const OpenAiIdentity& identity, bool usage_null);

  // The first chunk of a choice; nothing for completions, which have none.
  void AppendRole(int32_t choice, std::string& out) const;
  void AppendContent(int32_t choice, std::string_view content, std::string& out) const;
  // Of a chat: completions have no reasoning.
  void AppendReasoning(int32_t choice, std::string_view reasoning, std::string& out) const;
  // With log-probabilities, each in the chunk that has the beginning of its token's text.
  // `position` is where the delta begins in the choice's text; it is moved to its end.
  void AppendScored(int32_t choice, const OutputDelta& delta, TextPosition& position,
                    std::string& out) const;
  // Of a chat: completions have no tools.
  void AppendToolCalls(int32_t choice, std::span<const ToolCallPiece> pieces,
                       std::string& out) const;
  // `called`: the answer has calls of tools.
  void AppendFinish(int32_t choice, FinishReason reason, bool called, std::string& out) const;
  // The chunk without choices.
  void AppendUsage(const Usage& usage, std::string& out) const;

  static void AppendDone(std::string& out) { out += "data: [DONE]\n\n"; }
  // A comment, which every client skips.
  static void AppendKeepAlive(std::string& out) { out += ": keep-alive\n\n"; }

 private:
  // What a chunk has before and behind its text.
  struct Frame {
    std::string_view before;
    std::string_view behind;
  };
  Frame ContentFrame() const;
  // In as many chunks as it takes; the first has `logprobs`, a JSON value.
  void AppendText(int32_t choice, const Frame& frame, std::string_view text,
                  std::string_view logprobs, std::string& out) const;

  const OpenAiEndpoint endpoint_;
  const std::string id_;
  std::string head_;  // from "data: " to "choices":[
  std::string tail_;  // from after finish_reason's value to the blank line
};

std::string_view OpenAiFinishReason(FinishReason reason, bool called);

// {"prompt_tokens":…}
void AppendUsageObject(const Usage& usage, std::string& out);

}  // namespace spillway
