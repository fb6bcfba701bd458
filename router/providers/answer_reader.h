#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/event_stream.h"
#include "router/providers/provider_error.h"

namespace spillway {

struct AnswerLimits {
  size_t event_bytes_max = 8u << 20;       // of one event of a stream
  size_t assembled_bytes_max = 64u << 20;  // of a stream that becomes one answer
  int32_t choices_max = 128;
};

// What a provider counted, and charges for.
struct AnswerUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;      // of those
  int64_t completion_tokens = 0;  // 0 of an embedding
  int64_t reasoning_tokens = 0;   // of those

  friend bool operator==(const AnswerUsage&, const AnswerUsage&) = default;
};

// A piece of a streamed answer.
struct AnswerChunk {
  std::string json;         // on one line, as it came but for the model's name
  bool usage_only = false;  // has no choices: only for those who asked for usage
};

// Reads an answer that a provider streams in OpenAI's dialect, of a chat or a completion.
//
//   - It is whole once [DONE] has come and each choice that began has a finish_reason. Whatever
//     ends before is broken, never whole. An answer without text is whole all the same: thinking
//     may have taken all the tokens that were allowed (finish_reason "length").
//   - An error within the stream is an error, whatever the HTTP status was: {"error": …}, an event
//     named "error", or DashScope's {"code", "message"}.
//   - What is no JSON is broken. It is not handed on.
//
// Pure and incremental: however the bytes are cut, the same comes of them.
class AnswerStream {
 public:
  // `model` is what the client calls the model: chunks say that.
  AnswerStream(std::string_view model, const AnswerLimits& limits);
  ~AnswerStream();
  AnswerStream(const AnswerStream&) = delete;
  AnswerStream& operator=(const AnswerStream&) = delete;

  // Appends the chunks that are complete. What comes behind [DONE] is ignored. After an error it
  // gives the same error again.
  //   UNAVAILABLE  the provider says that it can't go on; error() says why
  //   DATA_LOSS    this is no such answer
  absl::Status Read(std::string_view bytes, std::vector<AnswerChunk>& chunks);

  // Nothing more will come. DATA_LOSS: it is half an answer. The error of Read(), if there was one.
  absl::Status End() const;

  bool whole() const { return whole_; }
  // An event has been read, be it an error: before that nobody need be told of a 200.
  bool begun() const { return begun_; }
  const std::optional<ProviderError>& error() const { return error_; }
  const std::optional<AnswerUsage>& usage() const { return usage_; }  // nothing: none was told
  // Of text, reasoning and calls so far, in all choices: what has been delivered where no usage is
  // told.
  int64_t text_bytes() const { return text_bytes_; }

 private:
  class Parser;

  absl::Status Take(const ServerSentEvent& event, std::vector<AnswerChunk>& chunks);
  absl::Status TakeEnd();
  absl::Status TakeError(const ServerSentEvent& event);

  const std::string model_json_;
  const AnswerLimits limits_;
  EventStreamReader events_;
  std::unique_ptr<Parser> parser_;
  std::vector<uint8_t> choices_;  // by index: 0 not begun, 1 begun, 2 finished
  bool begun_ = false;
  bool whole_ = false;
  std::optional<ProviderError> error_;
  std::optional<AnswerUsage> usage_;
  int64_t text_bytes_ = 0;
  absl::Status status_;
};

// An answer that came in one piece.
struct WholeAnswer {
  std::string json;  // as it came but for the model's name
  std::optional<AnswerUsage> usage;
};

// Reads the body of a 200: an answer with choices, each with a finish_reason, or embeddings.
//   UNAVAILABLE  it is an error all the same, which is put into `error`
//   DATA_LOSS    it is no such answer
absl::StatusOr<WholeAnswer> ReadWholeAnswer(std::string_view body, std::string_view model,
                                            ProviderError& error);

}  // namespace spillway
