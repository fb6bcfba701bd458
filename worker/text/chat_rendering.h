#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/chat_template.h"

namespace spillway {

// `messages_json`, an array of messages, with the arguments of each tool call as the object that
// they spell: OpenAI's API has them as a string of JSON. Empty ones become {}; those that spell no
// object stay a string. All else stays as it is, to the byte. Nothing: there is nothing to change.
std::optional<std::string> WithArgumentObjects(std::string_view messages_json);

// Renders a chat in OpenAI's shapes. Templates are written for transformers, where the arguments of
// a tool call are an object, and most can't do with a string or would quote it once more. A few
// (DeepSeek-V3's, functionary's) put the string together with others: they fail on objects, and get
// the messages as they came. Errors as ChatTemplate::Render().
absl::StatusOr<RenderedPrompt> RenderChat(const ChatTemplate& chat_template,
                                          const ChatInput& input);

}  // namespace spillway
