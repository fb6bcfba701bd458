#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/time.h"

namespace spillway {

// What one request has delivered. Who got nothing owes nothing, so its prompt counts only once some
// of its answer has been delivered, or all of it.
struct DeliveredTokenCounts {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // of those
  int32_t completion_tokens = 0;
};

// What became of one request, for logs and for the books. The views hold during the call.
struct RequestSummary {
  std::string_view request_id;
  std::string_view token_id = {};  // empty where none was needed
  std::string_view token;          // its name; empty where none was needed
  std::string_view service;        // "none" if it named none that there is
  std::string_view replica;        // that it was sent to last; empty: to none
  std::string_view provider = {};  // that answered it; empty: our own workers
  std::string_view outcome;        // "finished", "cancelled", or an error's reason
  int http_status = 200;           // what an error is in OpenAI's dialect; 499: the client left
  std::string_view finish;         // of its first choice: "stop", "length"; empty: it didn't finish
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t completion_tokens = 0;          // delivered
  std::optional<absl::Duration> queued;   // to the begin of its prefill
  std::optional<absl::Duration> to_text;  // to its first text
  absl::Duration took;
  int32_t resumes = 0;
  std::string_view traceparent;  // as GenerateRequest has it
  // What it cost, in 1/1,000,000,000 of the currency; nothing on our own workers.
  int64_t cost_nano = 0;
  std::string_view currency = {};    // "CNY"
  DeliveredTokenCounts billed = {};  // all of it
  DeliveredTokenCounts told = {};    // of that, in OnProgress before
};

// What a request that goes on has delivered since its last one. The views hold during the call.
struct RequestProgress {
  std::string_view token_id;
  std::string_view service;
  std::string_view provider;
  DeliveredTokenCounts delivered;
};

// Hears of the end of each request of a shard, on the shard's thread, before its sink's owner can
// know that it has ended.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void OnRequestEnd(const RequestSummary& summary) = 0;
  // Several times a second of a request that delivers, on its shard's thread: what happened so far
  // is known even if this process ends in the middle of it.
  virtual void OnProgress(const RequestProgress&) {}
};

}  // namespace spillway
