#include "server/telemetry/request_log.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/http/trace_context.h"

namespace spillway {
namespace {

constexpr size_t kValueBytesMax = 128;

// A value that needs no quotes. What others wrote (a model's name, an id) is cut and may not look
// like more than one word.
std::string Word(std::string_view value) {
  if (value.empty()) return "-";
  std::string word(value.substr(0, kValueBytesMax));
  std::replace_if(
      word.begin(), word.end(), [](char c) { return c <= ' ' || c >= 0x7f || c == '='; }, '_');
  return word;
}

std::string Milliseconds(std::optional<absl::Duration> duration) {
  if (!duration) return "-";
  return absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(*duration));
}

}  // namespace

std::string FormatRequestLine(const RequestSummary& summary) {
  const std::string_view finish = summary.outcome == "finished" ? summary.finish : summary.outcome;
  std::string line = absl::StrCat(
      "request id=", Word(summary.request_id), " token=", Word(summary.token),
      " service=", Word(summary.service), " upstream=", Word(summary.replica),
      " tokens_in=", summary.prompt_tokens, " tokens_cached=", summary.cached_tokens,
      " tokens_out=", summary.completion_tokens, " queue_ms=", Milliseconds(summary.queued));
  absl::StrAppend(&line, " ttft_ms=", Milliseconds(summary.to_text),
                  " total_ms=", Milliseconds(summary.took), " finish=", Word(finish),
                  " status=", summary.http_status);
  if (summary.resumes > 0) absl::StrAppend(&line, " resumes=", summary.resumes);
  if (!summary.traceparent.empty()) {
    absl::StrAppend(&line, " trace=", TraceIdOf(summary.traceparent));
  }
  return line;
}

void RequestLog::OnRequestEnd(const RequestSummary& summary) {
  const bool our_fault = summary.http_status >= 500;
  write_(our_fault ? LogLevel::kWarning : LogLevel::kInfo, FormatRequestLine(summary));
}

}  // namespace spillway
