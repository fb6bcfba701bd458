#pragma once

#include "absl/status/statusor.h"
#include "worker/model/json_object.h"
#include "worker/model/model_spec.h"

namespace spillway {

// Fills rope, local_rope and, where yarn stretches it, context_tokens_max from a config.json.
// Requires rope_size and context_tokens_max. `theta` and `local_theta` hold where the file names
// none; a local_theta of 0: local layers rotate as the others do.
//
// Errors as ModelSpecFromHfConfig().
absl::Status ReadHfRope(const JsonObject& config, double theta, double local_theta,
                        ModelSpec& spec);

}  // namespace spillway
