#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "server/dialects/single_answer.h"

namespace spillway {

enum class OllamaEndpoint { kChat, kGenerate };

// "2026-11-21T10:00:00.123456Z"
std::string OllamaTime(absl::Time time);

// Ollama's answers: one JSON object, or a stream of them, each followed by one line feed. There are
// no blank lines, which ollama-python takes for broken JSON, and no line over 64 KiB, where
// one-api's reader gives up; the last object says "done":true. While there is nothing to say a
// piece without text is sent.
//
// `model` is echoed as the client named it. `clock` outlives the format.
//
// A call of a tool comes whole, its arguments as an object: {} if they are none. `id` is the
// answer's: the calls' ids come of it.
std::unique_ptr<AnswerFormat> MakeOllamaFormat(OllamaEndpoint endpoint, std::string id,
                                               std::string model, bool show_thinking,
                                               const Clock& clock);

// The answer to a request that only loads or unloads the model.
std::string OllamaLoadAnswer(OllamaEndpoint endpoint, std::string_view model, bool unload,
                             absl::Time now);

}  // namespace spillway
