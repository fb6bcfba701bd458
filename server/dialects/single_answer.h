#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "router/router.h"
#include "server/dialects/dialect_limits.h"
#include "server/dialects/spiller.h"
#include "server/dialects/tool_call_texts.h"
#include "server/http/http_types.h"

namespace spillway {

// What an answer is made of.
struct AnswerTexts {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallText> calls;
};

// How an answer ended, and what it took.
struct AnswerEnd {
  FinishReason reason = FinishReason::kStop;
  Usage usage;
  absl::Duration queued;   // from the request to the begin of its prefill
  absl::Duration prefill;  // from there to its first text
  absl::Duration decode;   // from there to its end
};

// How a dialect writes the answer to a request of one prompt and one choice. What is appended are
// whole events: they are never split over two writes.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  virtual std::string_view stream_type() const = 0;  // of the content
  // Once, before all others. `cached_tokens` is 0 while it isn't known.
  virtual void AppendBegin(int32_t prompt_tokens, int32_t cached_tokens, std::string& out) = 0;
  // Has text of some kind.
  virtual void AppendDelta(const OutputDelta& delta, std::string& out) = 0;
  // Something that every client of this dialect bears, so that nobody takes the stream for dead.
  virtual void AppendKeepAlive(std::string& out) = 0;
  virtual void AppendEnd(const AnswerEnd& end, std::string& out) = 0;
  virtual void AppendError(const GenerateError& error, std::string& out) = 0;

  virtual std::string WholeAnswer(const AnswerTexts& texts, const AnswerEnd& end) = 0;
  virtual HttpResponse ErrorResponse(const GenerateError& error) const = 0;
};

// One request of one choice on its way through the router. Nothing is sent before the request is
// accepted, so that whatever is wrong with it has its own status. A stream that breaks ends with
// the format's error and a body without its end.
//
// Owned by the connection, whose thread is the shard's; destroying it cancels the request.
class SingleAnswer : public HttpOperation, private ResponseSink {
 public:
  // `shard`, `clock` and `writer` must outlive it, as must `spiller` if it isn't null. Requires one
  // choice.
  SingleAnswer(GenerateRequest request, bool stream, std::unique_ptr<AnswerFormat> format,
               const StreamTimings& timings, RouterShard& shard, const Clock& clock,
               ResponseWriter& writer, Spiller* spiller = nullptr);
  ~SingleAnswer() override;

  // HttpOperation
  void OnWake() override;

 private:
  // ResponseSink
  void OnAccepted(int32_t prompt_tokens) override;
  void OnStarted(int32_t cached_tokens) override;
  void OnDelta(int32_t choice, const OutputDelta& delta, int32_t token_count) override;
  void OnFinished(int32_t choice, FinishReason reason, const Usage& usage) override;
  void OnFailed(const GenerateError& error) override;
  bool TakeElsewhere(const GenerateError& why) override;
  void OnBatchEnd() override;

  void BeginStream();
  void WriteEvents();

  const bool stream_;
  const std::unique_ptr<AnswerFormat> format_;
  const StreamTimings timings_;
  RouterShard& shard_;
  const Clock& clock_;
  ResponseWriter& writer_;
  Spiller* const spiller_;

  const absl::Time asked_;
  absl::Time started_;
  absl::Time first_text_ = absl::InfiniteFuture();
  RequestId request_{};
  bool ended_ = false;      // the router knows the request no more
  bool streaming_ = false;  // the head has been written
  bool quiet_ = true;       // nothing was written since the last OnWake
  int32_t prompt_tokens_ = 0;
  int32_t cached_tokens_ = 0;
  AnswerTexts texts_;   // only when not streaming
  std::string events_;  // not yet given to the writer
};

}  // namespace spillway
