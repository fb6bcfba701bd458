#include "server/dialects/single_answer.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace spillway {

SingleAnswer::SingleAnswer(GenerateRequest request, bool stream,
                           std::unique_ptr<AnswerFormat> format, const StreamTimings& timings,
                           RouterShard& shard, const Clock& clock, ResponseWriter& writer,
                           Spiller* spiller)
    : stream_(stream),
      format_(std::move(format)),
      timings_(timings),
      shard_(shard),
      clock_(clock),
      writer_(writer),
      spiller_(spiller),
      asked_(clock.Now()),
      started_(asked_) {
  CHECK(request.choices == 1);
  request_ = shard_.Submit(std::move(request), *this);
}

SingleAnswer::~SingleAnswer() {
  if (!ended_) shard_.Cancel(request_);
}

void SingleAnswer::OnAccepted(int32_t prompt_tokens) {
  prompt_tokens_ = prompt_tokens;
  if (stream_) writer_.WakeAfter(timings_.start_after_accepted);
}

void SingleAnswer::OnStarted(int32_t cached_tokens) {
  started_ = clock_.Now();
  cached_tokens_ = cached_tokens;
  if (stream_ && !streaming_) BeginStream();
}

void SingleAnswer::OnDelta(int32_t, const OutputDelta& delta, int32_t) {
  if (delta.reasoning.empty() && delta.content.empty() && delta.tool_calls.empty()) return;
  first_text_ = std::min(first_text_, clock_.Now());
  if (!stream_) {
    texts_.reasoning += delta.reasoning;
    texts_.content += delta.content;
    AddPieces(delta.tool_calls, texts_.calls);
    return;
  }
  if (!streaming_) BeginStream();
  format_->AppendDelta(delta, events_);
}

void SingleAnswer::OnFinished(int32_t, FinishReason reason, const Usage& usage) {
  ended_ = true;
  const absl::Time now = clock_.Now();
  const absl::Time first_text = std::min(first_text_, now);
  const AnswerEnd end = {.reason = reason,
                         .usage = usage,
                         .queued = started_ - asked_,
                         .prefill = first_text - started_,
                         .decode = now - first_text};
  if (!stream_) {
    writer_.Send({.body = format_->WholeAnswer(texts_, end)});
    return;
  }
  if (!streaming_) BeginStream();
  format_->AppendEnd(end, events_);
  WriteEvents();
  writer_.EndStream();
}

void SingleAnswer::OnFailed(const GenerateError& error) {
  ended_ = true;
  if (!streaming_) {
    writer_.Send(format_->ErrorResponse(error));
    return;
  }
  format_->AppendError(error, events_);
  WriteEvents();
  writer_.AbortStream();
}

bool SingleAnswer::TakeElsewhere(const GenerateError& why) {
  if (spiller_ == nullptr || streaming_ || !spiller_->TakeOver(why)) return false;
  ended_ = true;
  return true;
}

void SingleAnswer::OnBatchEnd() {
  if (!streaming_ || events_.empty()) return;
  WriteEvents();
  writer_.Flush();
}

void SingleAnswer::OnWake() {
  if (ended_) return;
  if (!streaming_) BeginStream();
  if (quiet_) {
    format_->AppendKeepAlive(events_);
    WriteEvents();
    writer_.Flush();
  }
  quiet_ = true;
  writer_.WakeAfter(timings_.keep_alive_every);
}

void SingleAnswer::BeginStream() {
  streaming_ = true;
  writer_.BeginStream(format_->stream_type(),
                      {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
  format_->AppendBegin(prompt_tokens_, cached_tokens_, events_);
  writer_.WakeAfter(timings_.keep_alive_every);
}

void SingleAnswer::WriteEvents() {
  quiet_ = false;
  writer_.Write(events_);
  events_.clear();
}

}  // namespace spillway
