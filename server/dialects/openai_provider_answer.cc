#include "server/dialects/openai_provider_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/dialects/openai_error.h"

namespace spillway {

void OpenAiProviderAnswer::OnBegan(std::string_view provider) {
  streaming_ = true;
  writer_.BeginStream("text/event-stream", {{"Cache-Control", "no-cache"},
                                            {"X-Accel-Buffering", "no"},
                                            {std::string(kUpstreamHeader), std::string(provider)}});
}

void OpenAiProviderAnswer::OnChunk(std::string_view json) {
  events_ += "data: ";
  events_ += json;
  events_ += "\n\n";
}

void OpenAiProviderAnswer::OnAnswer(std::string_view provider, std::string json) {
  writer_.Send({.headers = {{std::string(kUpstreamHeader), std::string(provider)}},
                .body = std::move(json)});
}

void OpenAiProviderAnswer::OnFinished(const CallFinished&) {
  if (!std::exchange(streaming_, false)) return;
  events_ += "data: [DONE]\n\n";
  writer_.Write(events_);
  writer_.EndStream();
}

void OpenAiProviderAnswer::OnFailed(const GenerateError& error) {
  const OpenAiError openai = ToOpenAiError(error, prompt_param_);
  if (!std::exchange(streaming_, false)) return writer_.Send(ErrorResponse(openai));
  absl::StrAppend(&events_, "data: ", ErrorJson(openai), "\n\n");
  writer_.Write(events_);
  writer_.AbortStream();
}

void OpenAiProviderAnswer::Flush() {
  if (!streaming_ || events_.empty()) return;
  writer_.Write(events_);
  events_.clear();
  writer_.Flush();
}

void OpenAiProviderAnswer::KeepAlive() {
  events_ += ": keep-alive\n\n";
  Flush();
}

}  // namespace spillway
