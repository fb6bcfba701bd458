#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"
#include "worker/model/safetensors_set.h"

namespace spillway {

// A decoder's tensors out of a Hugging Face folder, under GGUF's names: every one that `spec`
// needs. A checkpoint of several parts ("model.language_model.layers.0…" beside a vision tower)
// gives its text part.
//
// Sets spec.tied_embeddings to what the tensors say: a head of its own counts, unless the config
// ties it and it is the same. `config_text` goes into HeaderHash().
//
// INVALID_ARGUMENT names a tensor that is missing, as the files would call it. UNIMPLEMENTED: a
// tensor of a dtype that isn't BF16, F16 or F32; or one that isn't part of this architecture, and
// so stands for a variant that we don't run.
absl::StatusOr<std::unique_ptr<TensorSource>> MakeHfDecoderTensors(
    std::unique_ptr<SafetensorsSet> set, std::string_view config_text, ModelSpec& spec);

}  // namespace spillway
