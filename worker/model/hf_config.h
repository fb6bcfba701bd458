#pragma once

#include "absl/status/statusor.h"
#include "worker/model/json_object.h"
#include "worker/model/model_spec.h"

namespace spillway {

// Reads and checks the hyper-parameters of a decoder from a Hugging Face folder's config.json. What
// a field means, and what holds without it, is what transformers' configuration class of that
// model_type has (5.23); rope_scaling and rope_theta are read in their old and new places.
//
// `spec.name` stays empty. `spec.tied_embeddings` is what the file asks for: whoever has the
// tensors knows whether there is a head. Rope's layout is kHalves.
//
// UNIMPLEMENTED names a model_type, a rope type, a quantisation or a variant that we can't run, and
// what we can; INVALID_ARGUMENT a bad or missing value and its range.
absl::StatusOr<ModelSpec> ModelSpecFromHfConfig(const JsonObject& config);

}  // namespace spillway
