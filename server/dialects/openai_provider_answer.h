#pragma once

#include <string>
#include <string_view>

#include "server/http/http_types.h"
#include "server/providers/provider_operation.h"

namespace spillway {

// The header that tells which provider answered; answers of workers here have none.
constexpr std::string_view kUpstreamHeader = "x-spillway-upstream";

// Writes what a provider answers for OpenAI's clients: its own text, but for the model's name. A
// stream that breaks ends with an error event, no [DONE], and a body without its end.
class OpenAiProviderAnswer : public ProviderAnswer {
 public:
  // `prompt_param`: what the endpoint calls the prompt. `writer` must outlive it.
  OpenAiProviderAnswer(std::string_view prompt_param, ResponseWriter& writer)
      : prompt_param_(prompt_param), writer_(writer) {}

  void OnBegan(std::string_view provider) override;
  void OnChunk(std::string_view json) override;
  void OnAnswer(std::string_view provider, std::string json) override;
  void OnFinished(const CallFinished& finished) override;
  void OnFailed(const GenerateError& error) override;
  void Flush() override;
  void KeepAlive() override;
  bool streaming() const override { return streaming_; }

 private:
  const std::string_view prompt_param_;
  ResponseWriter& writer_;
  bool streaming_ = false;
  std::string events_;  // not yet given to the writer
};

}  // namespace spillway
