#pragma once

#include "absl/status/statusor.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/gguf.h"

namespace spillway {

// Whether a GGUF file's general.architecture is that of an encoder.
bool IsEncoder(const GgufFile& file);

// Reads and checks an encoder's hyper-parameters from a GGUF file, as llama.cpp reads a "bert". Its
// vectors are normalised, as llama.cpp's server does by default.
// UNIMPLEMENTED names a pooling or a variant that we can't run; INVALID_ARGUMENT a bad or missing
// value.
absl::StatusOr<EncoderSpec> EncoderSpecFromGguf(const GgufFile& file);

}  // namespace spillway
