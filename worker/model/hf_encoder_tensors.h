#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/model_tensor.h"
#include "worker/model/safetensors_set.h"

namespace spillway {

// An encoder's tensors out of a Hugging Face folder, under GGUF's names of a bert. Heads for other
// work (pooler, masked words) are left out. Errors as MakeHfDecoderTensors().
absl::StatusOr<std::unique_ptr<TensorSource>> MakeHfEncoderTensors(
    std::unique_ptr<SafetensorsSet> set, std::string_view config_text, const EncoderSpec& spec);

}  // namespace spillway
