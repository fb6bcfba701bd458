#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "router/providers/answer_assembler.h"
#include "router/providers/answer_reader.h"
#include "router/providers/provider_error.h"
#include "router/providers/provider_table.h"

namespace spillway {

struct CallLimits {
  // Until a stream's head has come, and between two pieces of one; what isn't streamed may take the
  // provider's whole_answer_max and this on top.
  absl::Duration silence_max = absl::Minutes(2);
  size_t error_bytes_max = 64u << 10;         // of an error's body; what comes behind is not read
  size_t whole_bytes_max = size_t{64} << 20;  // of an answer in one piece
  AnswerLimits answer;
};

// ---- what a call has to say, in order ----

// A stream has begun: only now is the client told of a 200.
struct CallBegan {};
struct CallChunk {
  std::string json;
};
// The whole of an answer that is not streamed to the client.
struct CallAnswer {
  std::string json;
};
struct CallFinished {
  std::optional<AnswerUsage> usage;  // nothing: the provider told none
  int64_t text_bytes = 0;            // of a stream
};
struct CallFailed {
  ErrorVerdict verdict;
  ProviderError error;                                // empty where the provider said nothing
  absl::Duration retry_after = absl::ZeroDuration();  // what it asks for; zero: nothing
  // Nothing of an answer has come, and its verdict is none that would be the same again: it may go
  // to another provider, or once more to this one when its circuit lets it.
  bool may_be_sent_again = false;
  // What had come by then, to be charged for.
  std::optional<AnswerUsage> usage;
  int64_t text_bytes = 0;
};
using CallEvent = std::variant<CallBegan, CallChunk, CallAnswer, CallFinished, CallFailed>;
using CallEvents = std::vector<CallEvent>;

// One request to one provider, from what HTTP says to what the client may be told.
//
//   streamed to the client   CallBegan CallChunk… CallFinished
//   one answer               CallAnswer CallFinished
//   and at any point instead CallFailed
//
// The status is not believed before the first event of a stream or the end of a body has been read:
// an error within a 200 is a CallFailed, without a CallBegan before it where it came first. Half an
// answer is never followed by CallFinished. Nothing comes after CallFinished or CallFailed.
//
// A pure machine: bytes and `now` in, events appended. Not thread-safe.
class ProviderCall {
 public:
  struct Options {
    std::string client_model;  // what the client calls the model
    bool streams = false;      // the provider was asked to stream (RewrittenRequest::streams)
    bool assemble = false;     // …but the client was not
    bool show_usage = false;   // the client asked for a stream's usage
  };

  // `provider` must outlive it. `now`: when the request was sent.
  ProviderCall(const ProviderRow& provider, Options options, const CallLimits& limits,
               absl::Time now);

  // The final answer's head. `retry_after`: the header's value, or empty; it may be a date, which
  // `wall_now` is compared with.
  void OnHead(int http_status, std::string_view content_type, std::string_view retry_after,
              absl::Time now, absl::Time wall_now);
  // Of the body, without HTTP's framing. Requires OnHead() before.
  void OnBytes(std::string_view bytes, absl::Time now, CallEvents& events);
  // The body has come to its end as HTTP has it. Requires OnHead() before.
  void OnEnd(CallEvents& events);
  // There is no connection, or it broke.
  void OnBroken(CallEvents& events);
  // Ends it when its time is over. Call at deadline().
  void OnTick(absl::Time now, CallEvents& events);
  // We don't read what it says, since the client is slow: its silence means nothing.
  void OnHeldUp(absl::Time now);

  absl::Time deadline() const { return deadline_; }
  // Nothing more is to be had from it: the connection may be closed.
  bool ended() const { return ended_; }
  // What has come so far, for whoever gives it up.
  const std::optional<AnswerUsage>& usage() const { return stream_.usage(); }
  int64_t text_bytes() const { return stream_.text_bytes(); }

 private:
  enum class Body : uint8_t { kNone, kError, kStream, kWhole };

  void TakeChunks(std::vector<AnswerChunk> chunks, CallEvents& events);
  void FinishStream(CallEvents& events);
  void FinishWhole(CallEvents& events);
  void FailWith(const absl::Status& status, CallEvents& events);
  void Fail(const ErrorVerdict& verdict, ProviderError error, CallEvents& events);

  const ProviderRow& provider_;
  const Options options_;
  const CallLimits limits_;
  absl::Time deadline_;
  bool ended_ = false;
  Body body_kind_ = Body::kNone;
  int http_status_ = 0;
  absl::Duration retry_after_ = absl::ZeroDuration();
  std::string body_;     // of an error, or of an answer in one piece
  AnswerStream stream_;  // used for kStream
  AnswerAssembler assembler_;
  bool to_assemble_ = false;
  bool any_chunk_ = false;  // of an answer has come
  bool began_told_ = false;
};

// The delay that a Retry-After header asks for: seconds, or a date of RFC 9110; zero where it is
// neither, or over.
absl::Duration ParseRetryAfter(std::string_view value, absl::Time wall_now);

}  // namespace spillway
