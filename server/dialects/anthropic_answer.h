#pragma once

#include <memory>
#include <string>

#include "server/dialects/single_answer.h"

namespace spillway {

// Anthropic's messages: one JSON object, or a stream of events, each with its "event:" line, which
// the SDKs go by. What the model thinks is a block of type "thinking" before the one of type
// "text", which is there, if empty, unless there are calls of tools: blocks of type "tool_use".
//
// `id`: "msg_…"; `model` is echoed as the client named it.
std::unique_ptr<AnswerFormat> MakeAnthropicFormat(std::string id, std::string model,
                                                  bool show_thinking);

}  // namespace spillway
