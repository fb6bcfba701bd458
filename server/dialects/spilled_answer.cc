#include "server/dialects/spilled_answer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/dialects/openai_provider_answer.h"

namespace spillway {
namespace {

using nlohmann::json;

std::string TextAt(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json* ObjectAt(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

// The only choice of a chunk or an answer; null: it has none.
const json* ChoiceOf(const json& answer) {
  if (!answer.is_object()) return nullptr;
  const auto choices = answer.find("choices");
  if (choices == answer.end() || !choices->is_array() || choices->empty()) return nullptr;
  const json& choice = choices->front();
  return choice.is_object() ? &choice : nullptr;
}

// A delta or a message, which have the same members.
OutputDelta DeltaOf(const json& message) {
  OutputDelta delta;
  delta.content = TextAt(message, "content");
  delta.reasoning = TextAt(message, "reasoning_content");
  if (delta.reasoning.empty()) delta.reasoning = TextAt(message, "reasoning");
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return delta;
  int32_t position = 0;
  for (const json& call : *calls) {
    if (!call.is_object()) continue;
    const auto index = call.find("index");
    ToolCallPiece piece = {.index = index != call.end() && index->is_number_integer()
                                        ? index->get<int32_t>()
                                        : position};
    ++position;
    if (const json* function = ObjectAt(call, "function")) {
      piece.name = TextAt(*function, "name");
      piece.arguments = TextAt(*function, "arguments");
    }
    delta.tool_calls.push_back(std::move(piece));
  }
  return delta;
}

FinishReason ReasonOf(const json& choice, FinishReason before) {
  const std::string reason = TextAt(choice, "finish_reason");
  if (reason.empty()) return before;
  return reason == "length" ? FinishReason::kLength : FinishReason::kStop;
}

}  // namespace

void SpilledAnswer::OnBegan(std::string_view provider) {
  streaming_ = true;
  writer_.BeginStream(format_->stream_type(),
                      {{"Cache-Control", "no-cache"},
                       {"X-Accel-Buffering", "no"},
                       {std::string(kUpstreamHeader), std::string(provider)}});
  format_->AppendBegin(/*prompt_tokens=*/0, /*cached_tokens=*/0, events_);
}

void SpilledAnswer::OnChunk(std::string_view text) {
  const json chunk = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const json* choice = ChoiceOf(chunk);
  if (choice == nullptr) return;
  reason_ = ReasonOf(*choice, reason_);
  const json* message = ObjectAt(*choice, "delta");
  if (message == nullptr) return;
  const OutputDelta delta = DeltaOf(*message);
  if (delta.empty()) return;
  first_text_ = std::min(first_text_, clock_.Now());
  format_->AppendDelta(delta, events_);
}

void SpilledAnswer::OnAnswer(std::string_view provider, std::string text) {
  provider_ = provider;
  whole_.emplace();
  const json answer = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const json* choice = ChoiceOf(answer);
  if (choice == nullptr) return;
  reason_ = ReasonOf(*choice, reason_);
  if (const json* message = ObjectAt(*choice, "message")) {
    OutputDelta delta = DeltaOf(*message);
    whole_->reasoning = std::move(delta.reasoning);
    whole_->content = std::move(delta.content);
    AddPieces(delta.tool_calls, whole_->calls);
  }
}

AnswerEnd SpilledAnswer::EndOf(const std::optional<AnswerUsage>& usage) const {
  const absl::Time now = clock_.Now();
  const absl::Time first_text = std::min(first_text_, now);
  AnswerEnd end = {.reason = reason_,
                   .queued = absl::ZeroDuration(),
                   .prefill = first_text - asked_,
                   .decode = now - first_text};
  if (usage) {
    end.usage.prompt_tokens = static_cast<int32_t>(usage->prompt_tokens);
    end.usage.cached_tokens = static_cast<int32_t>(usage->cached_tokens);
    end.usage.completion_tokens = static_cast<int32_t>(usage->completion_tokens);
    end.usage.reasoning_tokens = static_cast<int32_t>(usage->reasoning_tokens);
  }
  return end;
}

void SpilledAnswer::OnFinished(const CallFinished& finished) {
  const AnswerEnd end = EndOf(finished.usage);
  if (whole_) {
    writer_.Send({.headers = {{std::string(kUpstreamHeader), provider_}},
                  .body = format_->WholeAnswer(*whole_, end)});
    return;
  }
  streaming_ = false;
  format_->AppendEnd(end, events_);
  writer_.Write(events_);
  writer_.EndStream();
}

void SpilledAnswer::OnFailed(const GenerateError& error) {
  if (!std::exchange(streaming_, false)) return writer_.Send(format_->ErrorResponse(error));
  format_->AppendError(error, events_);
  writer_.Write(events_);
  writer_.AbortStream();
}

void SpilledAnswer::Flush() {
  if (!streaming_ || events_.empty()) return;
  writer_.Write(events_);
  events_.clear();
  writer_.Flush();
}

void SpilledAnswer::KeepAlive() {
  format_->AppendKeepAlive(events_);
  Flush();
}

}  // namespace spillway
