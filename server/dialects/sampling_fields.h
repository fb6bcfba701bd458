#pragma once

#include "router/generate_request.h"
#include "server/dialects/json_fields.h"

namespace spillway {

// Reads `temperature`, `top_p` and `top_k`, as OpenAI's and Anthropic's dialects have them, into
// `sampling`; what is absent stays as it is, and an error is left in `reader`.
void ReadSamplingFields(FieldReader& reader, SamplingOptions& sampling);

}  // namespace spillway
