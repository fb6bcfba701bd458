#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "router/provider_flow.h"
#include "server/http/http_pool.h"
#include "server/providers/provider_gateway.h"

namespace spillway {

// Hears of one request to the providers: OnBegan, OnChunk… and OnFinished of one that is streamed;
// OnAnswer and OnFinished of one that isn't; or at any point instead OnFailed.
class ProviderSink {
 public:
  virtual ~ProviderSink() = default;
  // Only now may a 200 be told. `provider` is its name.
  virtual void OnBegan(std::string_view provider) = 0;
  virtual void OnChunk(std::string_view json) = 0;
  virtual void OnAnswer(std::string_view provider, std::string json) = 0;
  virtual void OnFinished(const CallFinished& finished) = 0;
  // False: the client was not told, since somebody else answers it now. What it was told may be
  // something else: then that stands in `failure`.
  virtual bool OnFailed(ProviderFailure& failure) = 0;
  // All that came together has been told, but of OnFinished and OnFailed: a good moment to write.
  virtual void OnBatchEnd() = 0;
};

// Carries out what a ProviderFlow wants: has money reserved, sends over the gateway's connections,
// tells the sink, metrics and log. Destroying it gives the request up; money that is granted after
// that is given back.
//
// Threading: its gateway's thread.
class ProviderRun : private ExchangeSink {
 public:
  // All must outlive it.
  ProviderRun(ProviderGateway& gateway, ProviderRequest request, ProviderClient client,
              ProviderSink& sink);
  ~ProviderRun() override;

  // Once, first. The sink may hear from within it that it failed.
  void Start();
  // Deadlines; call every second or so.
  void Tick();
  // Nothing more is read of the answer until Resume(): the client is slower.
  void Pause();
  void Resume();

 private:
  struct Asking;

  // ExchangeSink
  void OnHead(const ResponseReader& head) override;
  void OnBody(std::string_view bytes) override;
  void OnEnd() override;
  void OnBroken(const absl::Status& why) override;

  void CarryOut(ProviderActions actions);
  void Send(SendToProvider send);
  void Begin();  // what is unsent
  void AskForMoney();
  void OnMoney(const std::string& id, const std::optional<MoneyRefusal>& refusal);
  void ForgetAsking();
  void Settle(const AttemptEnded& ended);
  void OnFailure(ProviderFailure& failure);
  void Report(std::string_view outcome, int http_status);
  void TellObserver(std::string_view outcome, int http_status,
                    const DeliveredTokenCounts& delivered);
  DeliveredTokenCounts Delivered() const;

  ProviderGateway& gateway_;
  ProviderClient client_;
  const std::string model_;
  ProviderSink& sink_;
  ProviderFlow flow_;
  const absl::Time asked_;
  std::unique_ptr<HttpExchange> exchange_;
  bool paused_ = false;
  AttemptEnded last_;               // attempt
  int64_t cost_nano_ = 0;           // of all of them
  SendToProvider unsent_;           // that waits for its money
  std::shared_ptr<Asking> asking_;  // for it; null: nothing is asked for
  std::string held_;  // the reservation of the attempt under way; empty: there is none
};

}  // namespace spillway
