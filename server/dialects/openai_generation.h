#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "router/router.h"
#include "server/dialects/openai_chunk_writer.h"
#include "server/dialects/openai_logprobs.h"
#include "server/dialects/openai_request.h"
#include "server/http/http_types.h"

namespace spillway {

struct OpenAiTimings {
  // A stream's 200 goes out when prefill begins, or this long after the request was accepted: a
  // proxy's 60 s limit must not cut a long wait.
  absl::Duration start_after_accepted = absl::Seconds(20);
  absl::Duration keep_alive_every = absl::Seconds(15);  // while nothing else is written
};

// One request on its way through the router, written as OpenAI's clients read it. Nothing is sent
// before the request is accepted, so that whatever is wrong with it has its own status. A stream
// that breaks ends with an error event, no [DONE], and a body without its end.
//
// Owned by the connection, whose thread is the shard's; destroying it cancels the request.
class OpenAiGeneration : public HttpOperation, public ResponseSink {
 public:
  // `shard` and `writer` must outlive it.
  OpenAiGeneration(OpenAiIdentity identity, OpenAiRequest request, const OpenAiTimings& timings,
                   RouterShard& shard, ResponseWriter& writer);
  ~OpenAiGeneration() override;

  // HttpOperation
  void OnWake() override;

  // ResponseSink
  void OnAccepted(int32_t prompt_tokens) override;
  void OnStarted(int32_t cached_tokens) override;
  void OnDelta(int32_t choice, const OutputDelta& delta, int32_t token_count) override;
  void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) override;
  void OnFailed(const GenerateError& error) override;
  void OnBatchEnd() override;

 private:
  struct Choice {
    explicit Choice(OpenAiEndpoint endpoint) : logprobs(endpoint) {}

    std::string text;         // only when not streaming
    OpenAiLogprobs logprobs;  // likewise
    TextPosition position;    // how much text has come; only with log-probabilities
    bool finished = false;
    FinishReason reason = FinishReason::kStop;
  };

  void AddToAnswer(Choice& choice, const OutputDelta& delta) const;
  void BeginStream();
  void WriteEvents(bool flush);
  void Complete();
  std::string WholeAnswer() const;

  const OpenAiIdentity identity_;
  const bool stream_;
  const bool include_usage_;
  const bool logprobs_;
  const OpenAiTimings timings_;
  const OpenAiChunkWriter chunks_;
  RouterShard& shard_;
  ResponseWriter& writer_;

  RequestId request_{};
  bool running_ = true;     // the router still knows the request
  bool streaming_ = false;  // the head has been written
  bool quiet_ = true;       // nothing was written since the last OnWake
  std::vector<Choice> choices_;
  size_t unfinished_;
  Usage usage_;         // of all choices
  std::string events_;  // not yet given to the writer
};

}  // namespace spillway
