#include "server/dialects/anthropic_answer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/dialects/anthropic_error.h"
#include "server/dialects/json_escape.h"

namespace spillway {
namespace {

// Escaped, a byte takes at most six: "\u0001". So no line is over 64 KiB.
constexpr size_t kTextBytesMax = 8u << 10;

enum class Block { kNone, kThinking, kText, kCall };

// Tokens that came from the cache are not counted as input, unlike in OpenAI's shape.
void AppendUsage(int32_t prompt_tokens, int32_t cached_tokens, int32_t output_tokens,
                 std::string& out) {
  absl::StrAppend(&out, "\"usage\":{\"input_tokens\":", std::max(0, prompt_tokens - cached_tokens),
                  ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":", cached_tokens,
                  ",\"output_tokens\":", output_tokens, "}");
}

// "stop_reason":…,"stop_sequence":…
void AppendStop(const AnswerEnd& end, bool called, std::string& out) {
  const std::string& stop = end.usage.stop_string;
  out += "\"stop_reason\":\"";
  out += end.reason == FinishReason::kLength ? "max_tokens"
         : !stop.empty()                     ? "stop_sequence"
         : called                            ? "tool_use"
                                             : "end_turn";
  out += "\",\"stop_sequence\":";
  if (stop.empty()) {
    out += "null";
  } else {
    AppendJsonString(out, stop);
  }
}

class AnthropicFormat : public AnswerFormat {
 public:
  AnthropicFormat(std::string id, std::string model, bool show_thinking)
      : id_(std::move(id)), model_(std::move(model)), show_thinking_(show_thinking) {}

  std::string_view stream_type() const override { return "text/event-stream; charset=utf-8"; }

  void AppendBegin(int32_t prompt_tokens, int32_t cached_tokens, std::string& out) override {
    out += "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{";
    AppendHead(out);
    out += ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,";
    AppendUsage(prompt_tokens, cached_tokens, 0, out);
    out += "}}\n\n";
    AppendKeepAlive(out);
  }

  void AppendDelta(const OutputDelta& delta, std::string& out) override {
    if (show_thinking_) AppendText(Block::kThinking, delta.reasoning, out);
    AppendText(Block::kText, delta.content, out);
    for (const ToolCallPiece& piece : delta.tool_calls) {
      if (!piece.name.empty()) OpenCall(piece, out);
      AppendText(Block::kCall, piece.arguments, out);
    }
  }

  void AppendKeepAlive(std::string& out) override {
    out += "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  }

  void AppendEnd(const AnswerEnd& end, std::string& out) override {
    if (open_ != Block::kText && calls_ == 0) Open(Block::kText, out);
    Close(out);
    out += "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{";
    AppendStop(end, calls_ > 0, out);
    out += "},";
    AppendUsage(end.usage.prompt_tokens, end.usage.cached_tokens, end.usage.completion_tokens, out);
    out += "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  }

  void AppendError(const GenerateError& error, std::string& out) override {
    const absl::string_view message = error.status.message();
    absl::StrAppend(&out, "event: error\ndata: ",
                    AnthropicErrorJson(AnthropicStatus(error), {message.data(), message.size()}),
                    "\n\n");
  }

  std::string WholeAnswer(const AnswerTexts& texts, const AnswerEnd& end) override {
    std::string out = "{";
    AppendHead(out);
    out += ",\"content\":[";
    if (show_thinking_ && !texts.reasoning.empty()) {
      out += "{\"type\":\"thinking\",\"thinking\":";
      AppendJsonString(out, texts.reasoning);
      out += ",\"signature\":\"\"},";
    }
    if (!texts.content.empty() || texts.calls.empty()) {
      out += "{\"type\":\"text\",\"text\":";
      AppendJsonString(out, texts.content);
      out += "},";
    }
    for (size_t i = 0; i < texts.calls.size(); ++i) {
      AppendCallHead(static_cast<int32_t>(i), texts.calls[i].name, out);
      absl::StrAppend(&out, std::string(ArgumentsObject(texts.calls[i].arguments)), "},");
    }
    out.back() = ']';
    out += ',';
    AppendStop(end, !texts.calls.empty(), out);
    out += ',';
    AppendUsage(end.usage.prompt_tokens, end.usage.cached_tokens, end.usage.completion_tokens, out);
    out += '}';
    return out;
  }

  HttpResponse ErrorResponse(const GenerateError& error) const override {
    return ToAnthropicResponse(error);
  }

 private:
  void AppendHead(std::string& out) const {
    out += "\"id\":";
    AppendJsonString(out, id_);
    out += ",\"type\":\"message\",\"role\":\"assistant\",\"model\":";
    AppendJsonString(out, model_);
  }

  void Open(Block block, std::string& out) {
    Close(out);
    open_ = block;
    absl::StrAppend(
        &out,
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", index_,
        ",\"content_block\":",
        block == Block::kThinking ? "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"
                                  : "{\"type\":\"text\",\"text\":\"\"}",
        "}\n\n");
  }

  // A block of a call up to its input, still open.
  void AppendCallHead(int32_t index, std::string_view name, std::string& out) const {
    absl::StrAppend(&out, "{\"type\":\"tool_use\",\"id\":\"toolu_", ToolCallId(id_, 0, index),
                    "\",\"name\":");
    AppendJsonString(out, name);
    out += ",\"input\":";
  }

  void OpenCall(const ToolCallPiece& piece, std::string& out) {
    Close(out);
    open_ = Block::kCall;
    ++calls_;
    absl::StrAppend(
        &out,
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", index_,
        ",\"content_block\":");
    AppendCallHead(piece.index, piece.name, out);
    out += "{}}}\n\n";
  }

  void Close(std::string& out) {
    if (open_ == Block::kNone) return;
    absl::StrAppend(&out,
                    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
                    index_++, "}\n\n");
    open_ = Block::kNone;
  }

  void AppendText(Block block, std::string_view text, std::string& out) {
    while (!text.empty()) {
      if (open_ != block) Open(block, out);
      const std::string_view part = WholeCharacters(text, kTextBytesMax);
      text.remove_prefix(part.size());
      absl::StrAppend(
          &out,
          "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
          "\"index\":",
          index_,
          block == Block::kThinking ? ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
          : block == Block::kCall   ? ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"
                                    : ",\"delta\":{\"type\":\"text_delta\",\"text\":");
      AppendJsonString(out, part);
      out += "}}\n\n";
    }
  }

  const std::string id_;
  const std::string model_;
  const bool show_thinking_;
  Block open_ = Block::kNone;
  int32_t index_ = 0;  // of the block that is open, or will be
  int32_t calls_ = 0;
};

}  // namespace

std::unique_ptr<AnswerFormat> MakeAnthropicFormat(std::string id, std::string model,
                                                  bool show_thinking) {
  return std::make_unique<AnthropicFormat>(std::move(id), std::move(model), show_thinking);
}

}  // namespace spillway
