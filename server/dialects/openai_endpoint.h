#pragma once

namespace spillway {

enum class OpenAiEndpoint { kChat, kCompletions };

}  // namespace spillway
