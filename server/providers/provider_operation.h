#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "server/http/http_types.h"
#include "server/providers/provider_run.h"

namespace spillway {

// How a dialect writes what a provider answers. It writes to the connection by itself.
class ProviderAnswer {
 public:
  virtual ~ProviderAnswer() = default;
  virtual void OnBegan(std::string_view provider) = 0;
  // Waits for Flush().
  virtual void OnChunk(std::string_view json) = 0;
  virtual void OnAnswer(std::string_view provider, std::string json) = 0;
  virtual void OnFinished(const CallFinished& finished) = 0;
  virtual void OnFailed(const GenerateError& error) = 0;
  virtual void Flush() = 0;
  // A stream that says nothing at the moment.
  virtual void KeepAlive() = 0;
  virtual bool streaming() const = 0;  // OnBegan() was called, and it goes on
};

// A client's request that providers answer: the run, the clock, and a client that is slower than
// the provider, which is then made to wait.
//
// Owned by the connection; destroying it gives the request up.
class ProviderOperation : public HttpOperation, private ProviderSink {
 public:
  // Of what the client hasn't taken. Far below HttpLimits::unsent_bytes_max, which cuts it.
  static constexpr size_t kUnsentBytesMax = 256u << 10;
  static constexpr absl::Duration kTick = absl::Seconds(1);

  // Asked when nothing of an answer has been told: true: somebody else goes on with the request.
  // False: the client is told, maybe something else than before the call.
  using Elsewhere = std::function<bool(ProviderFailure&)>;

  // `gateway` and `writer` must outlive it. `elsewhere` may be null.
  ProviderOperation(ProviderGateway& gateway, ProviderRequest request, ProviderClient client,
                    std::unique_ptr<ProviderAnswer> answer, absl::Duration keep_alive_every,
                    ResponseWriter& writer, Elsewhere elsewhere = nullptr);
  ~ProviderOperation() override;

  // Once, first.
  void Start();

  // HttpOperation
  void OnWake() override;
  void OnAllSent() override { run_.Resume(); }

 private:
  // ProviderSink
  void OnBegan(std::string_view provider) override;
  void OnChunk(std::string_view json) override;
  void OnAnswer(std::string_view provider, std::string json) override;
  void OnFinished(const CallFinished& finished) override;
  bool OnFailed(ProviderFailure& failure) override;
  void OnBatchEnd() override;

  const Clock& clock_;
  const std::unique_ptr<ProviderAnswer> answer_;
  const absl::Duration keep_alive_every_;
  ResponseWriter& writer_;
  const Elsewhere elsewhere_;
  ProviderRun run_;
  absl::Time said_;  // something to the client
  bool began_ = false;
  bool ended_ = false;
};

}  // namespace spillway
