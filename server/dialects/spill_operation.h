#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "router/spill_policy.h"
#include "router/token_account.h"
#include "server/dialects/spiller.h"
#include "server/http/http_types.h"
#include "server/providers/provider_operation.h"

namespace spillway {

// One request that workers here or providers may answer.
//
//   here ---- refused for exhaustion, or waits too long ----> there
//   there --- failed before a piece of an answer -----------> here, if it only waited or was
//             preferred; else the client is told why it was refused here
//
// Once a piece of an answer has come from either side it stays there: no half of one side is ever
// continued by the other.
//
// Owned by the connection; destroying it gives the request up on both sides.
class SpillOperation : public HttpOperation, public Spiller {
 public:
  struct Parts {
    // Makes what asks the workers here. `spiller` is null when it must not ask.
    std::function<std::unique_ptr<HttpOperation>(Spiller* spiller)> here;
    // Writes what a provider answers.
    std::function<std::unique_ptr<ProviderAnswer>()> answer;
    ProviderRequest request;
    ProviderClient client;
    std::shared_ptr<TokenAccount> account;  // null: nothing limits it
    TokenDemand demand;
    bool prefer = false;
    absl::Duration keep_alive_every;
  };

  // `gateway` and `writer` must outlive it.
  SpillOperation(Parts parts, ProviderGateway& gateway, ResponseWriter& writer);

  // Once, first.
  void Start();

  // HttpOperation
  void OnWake() override { current_->OnWake(); }
  void OnAllSent() override { current_->OnAllSent(); }

  // Spiller
  bool TakeOver(const GenerateError& why) override;

 private:
  bool GoThere(std::string_view reason);
  bool OnThereFailed(ProviderFailure& failure);

  Parts parts_;
  ProviderGateway& gateway_;
  ResponseWriter& writer_;
  std::string_view reason_;  // why it went there
  std::optional<GenerateError> refusal_;
  std::unique_ptr<HttpOperation> here_;
  std::unique_ptr<ProviderOperation> there_;
  std::unique_ptr<HttpOperation> here_again_;
  HttpOperation* current_ = nullptr;
};

}  // namespace spillway
