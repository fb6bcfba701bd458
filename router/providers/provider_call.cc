#include "router/providers/provider_call.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "common/check.h"

namespace spillway {
namespace {

constexpr ErrorVerdict kBroken = {ProviderAction::kTryAgain, "provider_broken", false};
constexpr ErrorVerdict kTimeout = {ProviderAction::kGiveUp, "provider_timeout", false};

bool IsEventStream(std::string_view content_type) {
  constexpr std::string_view kType = "text/event-stream";
  return content_type.size() >= kType.size() &&
         std::equal(kType.begin(), kType.end(), content_type.begin(),
                    [](unsigned char a, unsigned char b) { return a == std::tolower(b); });
}

bool WouldBeTheSameAgain(ProviderAction action) {
  return action == ProviderAction::kPassOn || action == ProviderAction::kContentFilter ||
         action == ProviderAction::kGiveUp;
}

}  // namespace

ProviderCall::ProviderCall(const ProviderRow& provider, Options options, const CallLimits& limits,
                           absl::Time now)
    : provider_(provider),
      options_(std::move(options)),
      limits_(limits),
      deadline_(now + limits.silence_max +
                (options_.streams ? absl::ZeroDuration() : provider.whole_answer_max)),
      stream_(options_.client_model, limits.answer),
      assembler_(limits.answer),
      to_assemble_(options_.assemble) {}

void ProviderCall::OnHead(int http_status, std::string_view content_type,
                          std::string_view retry_after, absl::Time now, absl::Time wall_now) {
  if (ended_) return;
  CHECK(body_kind_ == Body::kNone);
  http_status_ = http_status;
  retry_after_ = ParseRetryAfter(retry_after, wall_now);
  if (http_status != 200) {
    body_kind_ = Body::kError;
  } else if (IsEventStream(content_type)) {
    body_kind_ = Body::kStream;
    // Some stream whatever they are asked for.
    if (!options_.streams) to_assemble_ = true;
  } else {
    body_kind_ = Body::kWhole;
  }
  deadline_ = std::max(deadline_, now + limits_.silence_max);
}

void ProviderCall::OnBytes(std::string_view bytes, absl::Time now, CallEvents& events) {
  if (ended_) return;
  CHECK(body_kind_ != Body::kNone);
  deadline_ = now + limits_.silence_max;
  if (body_kind_ == Body::kStream) {
    std::vector<AnswerChunk> chunks;
    const absl::Status reading = stream_.Read(bytes, chunks);
    TakeChunks(std::move(chunks), events);
    if (ended_) return;
    if (!reading.ok()) return FailWith(reading, events);
    if (stream_.whole()) FinishStream(events);
    return;
  }
  const bool error = body_kind_ == Body::kError;
  const size_t bytes_max = error ? limits_.error_bytes_max : limits_.whole_bytes_max;
  body_ += bytes.substr(0, bytes_max - body_.size());
  if (body_.size() < bytes_max) return;
  if (error) return OnEnd(events);
  Fail(kBroken, {}, events);
}

void ProviderCall::OnEnd(CallEvents& events) {
  if (ended_) return;
  CHECK(body_kind_ != Body::kNone);
  if (body_kind_ == Body::kStream) return FailWith(stream_.End(), events);
  if (body_kind_ == Body::kWhole) return FinishWhole(events);
  ProviderError error = ReadProviderError(http_status_, body_);
  const ErrorVerdict verdict = JudgeProviderError(provider_.errors, error);
  Fail(verdict, std::move(error), events);
}

void ProviderCall::OnBroken(CallEvents& events) {
  // Half of an error still says its status, and mostly more.
  if (body_kind_ == Body::kError) return OnEnd(events);
  if (!ended_) Fail(kBroken, {}, events);
}

void ProviderCall::OnTick(absl::Time now, CallEvents& events) {
  if (ended_ || now < deadline_) return;
  if (body_kind_ == Body::kError) return OnEnd(events);
  Fail(kTimeout, {}, events);
}

void ProviderCall::OnHeldUp(absl::Time now) {
  deadline_ = std::max(deadline_, now + limits_.silence_max);
}

void ProviderCall::TakeChunks(std::vector<AnswerChunk> chunks, CallEvents& events) {
  for (AnswerChunk& chunk : chunks) {
    any_chunk_ = true;
    if (to_assemble_) {
      const absl::Status added = assembler_.Add(chunk.json);
      if (!added.ok()) return FailWith(added, events);
      continue;
    }
    if (chunk.usage_only && !options_.show_usage) continue;
    if (!std::exchange(began_told_, true)) events.push_back(CallBegan{});
    events.push_back(CallChunk{std::move(chunk.json)});
  }
}

void ProviderCall::FinishStream(CallEvents& events) {
  ended_ = true;
  if (to_assemble_) events.push_back(CallAnswer{assembler_.Finish()});
  events.push_back(CallFinished{.usage = stream_.usage(), .text_bytes = stream_.text_bytes()});
}

void ProviderCall::FinishWhole(CallEvents& events) {
  ProviderError error;
  auto answer = ReadWholeAnswer(body_, options_.client_model, error);
  if (answer.status().code() == absl::StatusCode::kUnavailable) {
    const ErrorVerdict verdict = JudgeProviderError(provider_.errors, error);
    return Fail(verdict, std::move(error), events);
  }
  // A client that waits for a stream can't be given one piece.
  if (!answer.ok() || (options_.streams && !to_assemble_)) return Fail(kBroken, {}, events);
  ended_ = true;
  events.push_back(CallAnswer{std::move(answer->json)});
  events.push_back(CallFinished{.usage = answer->usage});
}

void ProviderCall::FailWith(const absl::Status& status, CallEvents& events) {
  if (status.code() != absl::StatusCode::kUnavailable) return Fail(kBroken, {}, events);
  ProviderError error = *stream_.error();
  const ErrorVerdict verdict = JudgeProviderError(provider_.errors, error);
  Fail(verdict, std::move(error), events);
}

void ProviderCall::Fail(const ErrorVerdict& verdict, ProviderError error, CallEvents& events) {
  ended_ = true;
  events.push_back(
      CallFailed{.verdict = verdict,
                 .error = std::move(error),
                 .retry_after = retry_after_,
                 .may_be_sent_again = !any_chunk_ && !WouldBeTheSameAgain(verdict.action),
                 .usage = stream_.usage(),
                 .text_bytes = stream_.text_bytes()});
}

absl::Duration ParseRetryAfter(std::string_view value, absl::Time wall_now) {
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size()) {
    return seconds > 0 ? absl::Seconds(seconds) : absl::ZeroDuration();
  }
  absl::Time date;
  const absl::string_view text(value.data(), value.size());
  if (!absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", text, &date, nullptr)) {
    return absl::ZeroDuration();
  }
  return std::max(absl::ZeroDuration(), date - wall_now);
}

}  // namespace spillway
