#include "server/cli/chat_conversation.h"

#include "nlohmann/json.hpp"

namespace spillway {

std::string ChatConversation::Ask(const std::string& message) {
  said_.emplace_back("user", message);
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  if (!options_.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", options_.system}});
  }
  for (const auto& [role, content] : said_) {
    messages.push_back({{"role", role}, {"content", content}});
  }
  nlohmann::ordered_json body = {
      {"model", options_.model}, {"messages", messages}, {"stream", true}};
  if (options_.temperature) body["temperature"] = *options_.temperature;
  if (options_.tokens_max) body["max_tokens"] = *options_.tokens_max;
  // What a terminal gives is not always UTF-8.
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace spillway
