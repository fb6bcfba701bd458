#include "server/dialects/openai_chunk_writer.h"

#include <algorithm>
#include <charconv>

#include "common/check.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/tool_call_texts.h"

namespace spillway {
namespace {

// Escaped, a byte takes at most six: "\u0001".
constexpr size_t kContentBytesMax = 8u << 10;
// Of a chunk's log-probabilities; the one that goes beyond it is the last.
constexpr size_t kLogprobsBytesMax = 8u << 10;
constexpr std::string_view kNoLogprobs = "null";

void AppendInt(std::string& out, int64_t value) {
  char digits[20];
  const auto result = std::to_chars(digits, digits + sizeof(digits), value);
  out.append(digits, result.ptr);
}

}  // namespace

OpenAiChunkWriter::OpenAiChunkWriter(const OpenAiIdentity& identity, bool usage_null)
    : endpoint_(identity.endpoint), id_(identity.id) {
  head_ = "data: {\"id\":";
  AppendJsonString(head_, identity.id);
  head_ += endpoint_ == OpenAiEndpoint::kChat ? ",\"object\":\"chat.completion.chunk\""
                                              : ",\"object\":\"text_completion\"";
  head_ += ",\"created\":";
  AppendInt(head_, identity.created_s);
  head_ += ",\"model\":";
  AppendJsonString(head_, identity.model);
  head_ += ",\"system_fingerprint\":";
  AppendJsonString(head_, identity.fingerprint);
  head_ += ",\"choices\":[";
  tail_ = usage_null ? "}],\"usage\":null}\n\n" : "}]}\n\n";
}

void OpenAiChunkWriter::AppendRole(int32_t choice, std::string& out) const {
  if (endpoint_ != OpenAiEndpoint::kChat) return;
  out += head_;
  out += "{\"index\":";
  AppendInt(out, choice);
  out +=
      ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
      "\"finish_reason\":null";
  out += tail_;
}

OpenAiChunkWriter::Frame OpenAiChunkWriter::ContentFrame() const {
  if (endpoint_ != OpenAiEndpoint::kChat) return {",\"text\":\"", "\""};
  return {",\"delta\":{\"content\":\"", "\"}"};
}

void OpenAiChunkWriter::AppendText(int32_t choice, const Frame& frame, std::string_view text,
                                   std::string_view logprobs, std::string& out) const {
  do {
    const std::string_view part = WholeCharacters(text, kContentBytesMax);
    text.remove_prefix(part.size());
    out += head_;
    out += "{\"index\":";
    AppendInt(out, choice);
    out += frame.before;
    AppendJsonEscaped(out, part);
    out += frame.behind;
    out += ",\"logprobs\":";
    out += logprobs;
    out += ",\"finish_reason\":null";
    out += tail_;
    logprobs = kNoLogprobs;
  } while (!text.empty());
}

void OpenAiChunkWriter::AppendContent(int32_t choice, std::string_view content,
                                      std::string& out) const {
  if (!content.empty()) AppendText(choice, ContentFrame(), content, kNoLogprobs, out);
}

void OpenAiChunkWriter::AppendReasoning(int32_t choice, std::string_view reasoning,
                                        std::string& out) const {
  if (reasoning.empty()) return;
  CHECK(endpoint_ == OpenAiEndpoint::kChat);
  constexpr Frame kFrame = {",\"delta\":{\"content\":\"\",\"reasoning_content\":\"", "\"}"};
  AppendText(choice, kFrame, reasoning, kNoLogprobs, out);
}

void OpenAiChunkWriter::AppendToolCalls(int32_t choice, std::span<const ToolCallPiece> pieces,
                                        std::string& out) const {
  for (const ToolCallPiece& piece : pieces) {
    CHECK(endpoint_ == OpenAiEndpoint::kChat);
    std::string before = ",\"delta\":{\"content\":\"\",\"tool_calls\":[{\"index\":";
    AppendInt(before, piece.index);
    const std::string begun = before;
    if (!piece.name.empty()) {
      before += ",\"id\":";
      AppendJsonString(before, ToolCallId(id_, choice, piece.index));
      before += ",\"type\":\"function\",\"function\":{\"name\":";
      AppendJsonString(before, piece.name);
      before += ",\"arguments\":\"";
      AppendText(choice, {before, "\"}}]}"}, "", kNoLogprobs, out);
    }
    if (piece.arguments.empty()) continue;
    const std::string further = begun + ",\"function\":{\"arguments\":\"";
    AppendText(choice, {further, "\"}}]}"}, piece.arguments, kNoLogprobs, out);
  }
}

void OpenAiChunkWriter::AppendScored(int32_t choice, const OutputDelta& delta,
                                     TextPosition& position, std::string& out) const {
  const std::string_view content = delta.content;
  const uint64_t begin = position.bytes;
  OpenAiLogprobs logprobs(endpoint_);
  size_t written = 0;
  size_t seen = 0;
  const auto write_up_to = [&](size_t end) {
    std::string json;
    logprobs.AppendTo(json);
    AppendText(choice, ContentFrame(), content.substr(written, end - written), json, out);
    written = end;
    logprobs.Clear();
  };
  for (const TokenLogprobs& token : delta.logprobs) {
    // In range whatever a worker says.
    const size_t at = std::clamp(token.content_begin, begin + seen, begin + content.size()) - begin;
    position.Advance(content.substr(seen, at - seen));
    seen = at;
    if (logprobs.bytes() > kLogprobsBytesMax || at - written > kContentBytesMax) write_up_to(at);
    logprobs.Add(token, position.characters);
  }
  position.Advance(content.substr(seen));
  if (written < content.size() || !logprobs.empty()) write_up_to(content.size());
}

void OpenAiChunkWriter::AppendFinish(int32_t choice, FinishReason reason, bool called,
                                     std::string& out) const {
  out += head_;
  out += "{\"index\":";
  AppendInt(out, choice);
  out += endpoint_ == OpenAiEndpoint::kChat ? ",\"delta\":{\"content\":\"\"}" : ",\"text\":\"\"";
  out += ",\"logprobs\":null,\"finish_reason\":\"";
  out += OpenAiFinishReason(reason, called);
  out += '"';
  out += tail_;
}

void OpenAiChunkWriter::AppendUsage(const Usage& usage, std::string& out) const {
  out += head_;
  out += "],\"usage\":";
  AppendUsageObject(usage, out);
  out += "}\n\n";
}

std::string_view OpenAiFinishReason(FinishReason reason, bool called) {
  if (reason == FinishReason::kLength) return "length";
  return called ? "tool_calls" : "stop";
}

void AppendUsageObject(const Usage& usage, std::string& out) {
  out += "{\"prompt_tokens\":";
  AppendInt(out, usage.prompt_tokens);
  out += ",\"completion_tokens\":";
  AppendInt(out, usage.completion_tokens);
  out += ",\"total_tokens\":";
  AppendInt(out, int64_t{usage.prompt_tokens} + usage.completion_tokens);
  out += ",\"prompt_tokens_details\":{\"cached_tokens\":";
  AppendInt(out, usage.cached_tokens);
  out += "},\"completion_tokens_details\":{\"reasoning_tokens\":";
  AppendInt(out, usage.reasoning_tokens);
  out += "}}";
}

}  // namespace spillway
