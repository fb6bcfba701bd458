#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "server/dialects/single_answer.h"
#include "server/http/http_types.h"
#include "server/providers/provider_operation.h"

namespace spillway {

// Reads what a provider answers to a chat, and writes it as a dialect that is not OpenAI's does.
class SpilledAnswer : public ProviderAnswer {
 public:
  // `writer` and `clock` must outlive it.
  SpilledAnswer(std::unique_ptr<AnswerFormat> format, const Clock& clock, ResponseWriter& writer)
      : format_(std::move(format)), clock_(clock), writer_(writer), asked_(clock.Now()) {}

  void OnBegan(std::string_view provider) override;
  void OnChunk(std::string_view json) override;
  void OnAnswer(std::string_view provider, std::string json) override;
  void OnFinished(const CallFinished& finished) override;
  void OnFailed(const GenerateError& error) override;
  void Flush() override;
  void KeepAlive() override;
  bool streaming() const override { return streaming_; }

 private:
  AnswerEnd EndOf(const std::optional<AnswerUsage>& usage) const;

  const std::unique_ptr<AnswerFormat> format_;
  const Clock& clock_;
  ResponseWriter& writer_;
  const absl::Time asked_;
  absl::Time first_text_ = absl::InfiniteFuture();
  bool streaming_ = false;
  FinishReason reason_ = FinishReason::kStop;
  std::string provider_;
  std::optional<AnswerTexts> whole_;
  std::string events_;  // not yet given to the writer
};

}  // namespace spillway
