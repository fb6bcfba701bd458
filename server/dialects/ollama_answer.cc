#include "server/dialects/ollama_answer.h"

#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/ollama_error.h"

namespace spillway {
namespace {

// Escaped, a byte takes at most six: "\u0001".
constexpr size_t kTextBytesMax = 8u << 10;

class OllamaFormat : public AnswerFormat {
 public:
  OllamaFormat(OllamaEndpoint endpoint, std::string id, std::string model, bool show_thinking,
               const Clock& clock)
      : endpoint_(endpoint), id_(std::move(id)), show_thinking_(show_thinking), clock_(clock) {
    head_ = "{\"model\":";
    AppendJsonString(head_, model);
    head_ += ",\"created_at\":\"";
  }

  std::string_view stream_type() const override { return "application/x-ndjson"; }

  void AppendBegin(int32_t, int32_t, std::string&) override {}

  void AppendDelta(const OutputDelta& delta, std::string& out) override {
    std::string_view reasoning = delta.reasoning;
    std::string_view content = delta.content;
    if (show_thinking_) {
      while (!reasoning.empty()) AppendPiece(TakePart(reasoning), "", out);
    }
    while (!content.empty()) AppendPiece("", TakePart(content), out);
    AddPieces(delta.tool_calls, calls_);
    // The last may have more to come.
    while (told_calls_ + 1 < calls_.size()) AppendCall(out);
  }

  void AppendKeepAlive(std::string& out) override { AppendPiece("", "", out); }

  void AppendEnd(const AnswerEnd& end, std::string& out) override {
    while (told_calls_ < calls_.size()) AppendCall(out);
    AppendText("", "", {}, out);
    AppendEndMembers(end, out);
    out += '\n';
  }

  void AppendError(const GenerateError& error, std::string& out) override {
    const absl::string_view message = error.status.message();
    out += OllamaErrorJson({message.data(), message.size()});
    out += '\n';
  }

  std::string WholeAnswer(const AnswerTexts& texts, const AnswerEnd& end) override {
    std::string out;
    AppendText(show_thinking_ ? texts.reasoning : "", texts.content, texts.calls, out);
    AppendEndMembers(end, out);
    return out;
  }

  HttpResponse ErrorResponse(const GenerateError& error) const override {
    return ToOllamaResponse(error);
  }

 private:
  static std::string_view TakePart(std::string_view& text) {
    const std::string_view part = WholeCharacters(text, kTextBytesMax);
    text.remove_prefix(part.size());
    return part;
  }

  void AppendPiece(std::string_view reasoning, std::string_view content, std::string& out) const {
    AppendText(reasoning, content, {}, out);
    out += ",\"done\":false}\n";
  }

  void AppendCall(std::string& out) {
    AppendText("", "", {&calls_[told_calls_], 1}, out);
    ++told_calls_;
    out += ",\"done\":false}\n";
  }

  // An object up to its text, still open.
  void AppendText(std::string_view reasoning, std::string_view content,
                  std::span<const ToolCallText> calls, std::string& out) const {
    const bool chat = endpoint_ == OllamaEndpoint::kChat;
    out += head_;
    out += OllamaTime(clock_.WallNow());
    out += chat ? "\",\"message\":{\"role\":\"assistant\",\"content\":" : "\",\"response\":";
    AppendJsonString(out, content);
    if (!reasoning.empty()) {
      out += ",\"thinking\":";
      AppendJsonString(out, reasoning);
    }
    for (size_t i = 0; i < calls.size(); ++i) {
      const auto index = static_cast<int32_t>(told_calls_ + i);
      absl::StrAppend(&out, i == 0 ? ",\"tool_calls\":[" : ",", "{\"id\":\"",
                      ToolCallId(id_, 0, index), "\",\"function\":{\"index\":", index,
                      ",\"name\":");
      AppendJsonString(out, calls[i].name);
      out += ",\"arguments\":";
      out += ArgumentsObject(calls[i].arguments);
      out += i + 1 == calls.size() ? "}}]" : "}}";
    }
    if (chat) out += '}';
  }

  static void AppendEndMembers(const AnswerEnd& end, std::string& out) {
    absl::StrAppend(
        &out, ",\"done\":true,\"done_reason\":\"",
        end.reason == FinishReason::kLength ? "length" : "stop",
        "\",\"total_duration\":", absl::ToInt64Nanoseconds(end.queued + end.prefill + end.decode),
        ",\"load_duration\":", absl::ToInt64Nanoseconds(end.queued),
        ",\"prompt_eval_count\":", end.usage.prompt_tokens,
        ",\"prompt_eval_duration\":", absl::ToInt64Nanoseconds(end.prefill),
        ",\"eval_count\":", end.usage.completion_tokens,
        ",\"eval_duration\":", absl::ToInt64Nanoseconds(end.decode), "}");
  }

  const OllamaEndpoint endpoint_;
  const std::string id_;
  const bool show_thinking_;
  const Clock& clock_;
  std::string head_;  // what every object begins with, up to its time
  std::vector<ToolCallText> calls_;
  size_t told_calls_ = 0;
};

}  // namespace

std::string OllamaTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone());
}

std::unique_ptr<AnswerFormat> MakeOllamaFormat(OllamaEndpoint endpoint, std::string id,
                                               std::string model, bool show_thinking,
                                               const Clock& clock) {
  return std::make_unique<OllamaFormat>(endpoint, std::move(id), std::move(model), show_thinking,
                                        clock);
}

std::string OllamaLoadAnswer(OllamaEndpoint endpoint, std::string_view model, bool unload,
                             absl::Time now) {
  std::string out = "{\"model\":";
  AppendJsonString(out, model);
  absl::StrAppend(&out, ",\"created_at\":\"", OllamaTime(now), "\",",
                  endpoint == OllamaEndpoint::kChat
                      ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
                      : "\"response\":\"\"",
                  ",\"done\":true,\"done_reason\":\"", unload ? "unload" : "load", "\"}");
  return out;
}

}  // namespace spillway
