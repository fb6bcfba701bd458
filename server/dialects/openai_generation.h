#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "router/router.h"
#include "server/dialects/dialect_limits.h"
#include "server/dialects/openai_chunk_writer.h"
#include "server/dialects/openai_logprobs.h"
#include "server/dialects/openai_request.h"
#include "server/dialects/spiller.h"
#include "server/dialects/tool_call_texts.h"
#include "server/http/http_types.h"

namespace spillway {

// One request on its way through the router, written as OpenAI's clients read it. Nothing is sent
// before the request is accepted, so that whatever is wrong with it has its own status. A stream
// that breaks ends with an error event, no [DONE], and a body without its end.
//
// Each of several prompts is a request of its own to the router. All are accepted or none is
// answered, and one that fails ends them all. Choice c of prompt p has index p * n + c.
//
// Owned by the connection, whose thread is the shard's; destroying it cancels the request.
class OpenAiGeneration : public HttpOperation {
 public:
  // `shard` and `writer` must outlive it, as must `spiller` if it isn't null.
  OpenAiGeneration(OpenAiIdentity identity, OpenAiRequest request, const StreamTimings& timings,
                   RouterShard& shard, ResponseWriter& writer, Spiller* spiller = nullptr);
  ~OpenAiGeneration() override;

  // HttpOperation
  void OnWake() override;

 private:
  // One prompt's request.
  class Prompt : public ResponseSink {
   public:
    Prompt(OpenAiGeneration& owner, int32_t first_choice, int32_t choices)
        : owner_(owner), first_choice_(first_choice), unfinished_(choices) {}

    void OnAccepted(int32_t prompt_tokens) override { owner_.OnAccepted(prompt_tokens); }
    void OnStarted(int32_t cached_tokens) override { owner_.OnStarted(cached_tokens); }
    void OnDelta(int32_t choice, const OutputDelta& delta, int32_t) override {
      owner_.OnDelta(first_choice_ + choice, delta);
    }
    void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) override {
      --unfinished_;
      owner_.OnFinished(first_choice_ + choice, reason, usage);
    }
    void OnFailed(const GenerateError& error) override {
      unfinished_ = 0;
      owner_.OnFailed(error);
    }
    bool TakeElsewhere(const GenerateError& why) override {
      if (!owner_.MayBeTaken() || !owner_.spiller_->TakeOver(why)) return false;
      unfinished_ = 0;
      owner_.ended_ = true;
      owner_.CancelPrompts();
      return true;
    }
    void OnBatchEnd() override { owner_.OnBatchEnd(); }

    void Submit(RouterShard& shard, GenerateRequest request) {
      request_ = shard.Submit(std::move(request), *this);
    }
    // Does nothing once it has ended.
    void Cancel(RouterShard& shard) {
      if (std::exchange(unfinished_, 0) > 0) shard.Cancel(request_);
    }

   private:
    OpenAiGeneration& owner_;
    const int32_t first_choice_;
    int32_t unfinished_;  // choices; 0: the router knows the request no more
    RequestId request_{};
  };
  struct Choice {
    explicit Choice(OpenAiEndpoint endpoint) : logprobs(endpoint) {}

    std::string text;                 // only when not streaming
    std::string reasoning;            // likewise
    std::vector<ToolCallText> calls;  // likewise
    bool called = false;              // there are calls of tools
    OpenAiLogprobs logprobs;          // likewise
    TextPosition position;            // how much text has come; only with log-probabilities
    bool finished = false;
    FinishReason reason = FinishReason::kStop;
  };

  // What the router says of a prompt, its choice by the index that the client sees.
  void OnAccepted(int32_t prompt_tokens);
  void OnStarted(int32_t cached_tokens);
  void OnDelta(int32_t choice, const OutputDelta& delta);
  void OnFinished(int32_t choice, FinishReason reason, const Usage& usage);
  void OnFailed(const GenerateError& error);
  void OnBatchEnd();

  // Nothing has been written, and nothing of an answer is lost.
  bool MayBeTaken() const { return spiller_ != nullptr && !streaming_ && !started_ && !ended_; }
  void CancelPrompts();
  void AddToAnswer(Choice& choice, const OutputDelta& delta) const;
  // Once all prompts are accepted and there is something to say.
  void BeginStreamIfDue();
  void BeginStream();
  void WriteEvents(bool flush);
  void Complete();
  std::string WholeAnswer() const;
  void AppendMessage(const Choice& choice, int32_t index, std::string& out) const;

  const OpenAiIdentity identity_;
  const bool stream_;
  const bool include_usage_;
  const bool logprobs_;
  const bool reasoning_;  // is shown; always false for completions, whose text is never parsed
  const StreamTimings timings_;
  const OpenAiChunkWriter chunks_;
  RouterShard& shard_;
  ResponseWriter& writer_;
  Spiller* const spiller_;

  std::deque<Prompt> prompts_;
  size_t accepted_ = 0;     // prompts
  bool started_ = false;    // at least one prompt
  bool ended_ = false;      // all has been written
  bool streaming_ = false;  // the head has been written
  bool quiet_ = true;       // nothing was written since the last OnWake
  std::vector<Choice> choices_;
  size_t unfinished_;
  Usage usage_;         // of all choices
  std::string events_;  // not yet given to the writer
};

}  // namespace spillway
