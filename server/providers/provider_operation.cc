#include "server/providers/provider_operation.h"

#include <utility>

namespace spillway {

ProviderOperation::ProviderOperation(ProviderGateway& gateway, ProviderRequest request,
                                     ProviderClient client, std::unique_ptr<ProviderAnswer> answer,
                                     absl::Duration keep_alive_every, ResponseWriter& writer,
                                     Elsewhere elsewhere)
    : clock_(gateway.clock()),
      answer_(std::move(answer)),
      keep_alive_every_(keep_alive_every),
      writer_(writer),
      elsewhere_(std::move(elsewhere)),
      run_(gateway, std::move(request), std::move(client), *this),
      said_(clock_.Now()) {}

ProviderOperation::~ProviderOperation() = default;

void ProviderOperation::Start() {
  run_.Start();
  if (!ended_) writer_.WakeAfter(kTick);
}

void ProviderOperation::OnWake() {
  if (ended_) return;
  run_.Tick();
  if (ended_) return;
  if (answer_->streaming() && clock_.Now() - said_ >= keep_alive_every_) {
    said_ = clock_.Now();
    answer_->KeepAlive();
  }
  writer_.WakeAfter(kTick);
}

void ProviderOperation::OnBegan(std::string_view provider) {
  began_ = true;
  answer_->OnBegan(provider);
}

void ProviderOperation::OnChunk(std::string_view json) { answer_->OnChunk(json); }

void ProviderOperation::OnAnswer(std::string_view provider, std::string json) {
  began_ = true;
  answer_->OnAnswer(provider, std::move(json));
}

void ProviderOperation::OnFinished(const CallFinished& finished) {
  ended_ = true;
  answer_->OnFinished(finished);
}

bool ProviderOperation::OnFailed(ProviderFailure& failure) {
  ended_ = true;
  if (!began_ && elsewhere_ != nullptr && elsewhere_(failure)) return false;
  answer_->OnFailed(failure.error);
  return true;
}

void ProviderOperation::OnBatchEnd() {
  said_ = clock_.Now();
  answer_->Flush();
  if (writer_.unsent_bytes() > kUnsentBytesMax) run_.Pause();
}

}  // namespace spillway
