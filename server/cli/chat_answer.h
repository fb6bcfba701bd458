#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/event_stream.h"

namespace spillway {

// An answer of OpenAI's chat API as it comes, streamed or whole. Pure.
class ChatAnswer {
 public:
  // What a piece of it adds.
  struct Piece {
    std::string reasoning;
    std::string content;
  };

  // `streamed`: the bytes are server-sent events, else one JSON object.
  explicit ChatAnswer(bool streamed) : streamed_(streamed) {}

  // UNAVAILABLE: the server says that it can't go on, and why. INVALID_ARGUMENT: this is no answer.
  absl::Status Read(std::string_view bytes, Piece& piece);

  // All bytes have come. DATA_LOSS: they are half an answer.
  absl::Status End(Piece& piece);

  const std::string& content() const { return content_; }
  // "stop", "length", …; empty: not told.
  const std::string& finish_reason() const { return finish_reason_; }

 private:
  absl::Status Take(const std::string& json, const char* key, Piece& piece);

  const bool streamed_;
  EventStreamReader events_;
  std::string whole_;
  std::string content_;
  std::string finish_reason_;
  bool done_ = false;
};

// What an error's body says, in OpenAI's shape or in any other.
std::string ErrorMessage(int status, std::string_view body);

}  // namespace spillway
