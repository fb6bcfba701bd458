#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "router/providers/answer_reader.h"

namespace spillway {

// Makes of the chunks of a stream the answer that would have come in one piece: for clients that
// asked for no stream where the provider gives nothing else. Strings of a choice's deltas are
// joined (content, reasoning_content, refusal, …), calls by their index, log-probabilities one
// behind the other; of all else the last that isn't null counts, the first of `id` and `role`.
// Fields that nobody has heard of yet come through. Pure.
class AnswerAssembler {
 public:
  explicit AnswerAssembler(const AnswerLimits& limits);
  ~AnswerAssembler();
  AnswerAssembler(const AnswerAssembler&) = delete;
  AnswerAssembler& operator=(const AnswerAssembler&) = delete;

  // DATA_LOSS: it is no chunk, or the answer is beyond the limit. Nothing more may be added then.
  absl::Status Add(std::string_view chunk_json);

  // Requires that at least one chunk was added and the stream was whole.
  std::string Finish();

 private:
  class Parts;
  const AnswerLimits limits_;
  size_t bytes_ = 0;
  std::unique_ptr<Parts> parts_;
};

}  // namespace spillway
