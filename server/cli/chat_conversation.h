#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace spillway {

// What `spillway chat` asks for.
struct ChatOptions {
  std::string model;
  std::string system;  // empty: no such message
  std::optional<double> temperature;
  std::optional<int64_t> tokens_max;
};

// Who said what so far, as OpenAI's chat API wants it told.
class ChatConversation {
 public:
  explicit ChatConversation(ChatOptions options) : options_(std::move(options)) {}

  // The body of the request for an answer to `message`, which becomes part of the conversation.
  std::string Ask(const std::string& message);
  void Answered(const std::string& content) { said_.emplace_back("assistant", content); }
  // No answer came: the last message is as if it had not been said.
  void TakeBack() { said_.pop_back(); }
  void Forget() { said_.clear(); }

 private:
  const ChatOptions options_;
  std::vector<std::pair<std::string, std::string>> said_;  // role, content
};

}  // namespace spillway
