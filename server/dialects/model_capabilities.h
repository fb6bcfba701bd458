#pragma once

#include <string_view>

#include "router/router.h"

namespace spillway {

// What a model can do, in Ollama's words, as a JSON array: its clients show or hide by it what they
// can do with the model.
std::string_view CapabilitiesJson(const ModelInfo& model);

}  // namespace spillway
