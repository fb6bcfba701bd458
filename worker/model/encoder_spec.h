#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/json_object.h"
#include "worker/model/model_folder.h"

namespace spillway {

// An encoder that turns a text into one vector, as data: what worker/model/encoder.h runs.
struct EncoderSpec {
  std::string architecture;  // "bert"
  std::string name;          // what clients call the model, set by whoever opened it

  int32_t layer_count = 0;
  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t head_count = 0;  // hidden_size is a multiple of it
  int32_t vocabulary_size = 0;
  int32_t position_count = 0;
  int32_t token_type_count = 0;
  float layer_norm_epsilon = 0;

  // What the tokens' vectors become: their mean, or the first token's.
  enum class Pooling { kMean, kCls };
  Pooling pooling = Pooling::kMean;
  bool normalize = false;  // to length 1
  // Of one text, with those that the tokenizer puts around it; at most position_count.
  int32_t text_tokens_max = 0;
};

// Whether a config.json's model_type is that of an encoder, to be read by EncoderSpecFromFolder().
bool IsEncoder(const JsonObject& config);

// Reads and checks an encoder's config.json, and what sentence-transformers keeps beside it:
// modules.json, the pooling's config.json, sentence_bert_config.json. Without modules.json it is
// the mean, not normalised, as sentence-transformers has it. Defaults are those of transformers'
// and sentence-transformers' own classes (5.23, 5.1).
//
// UNIMPLEMENTED names a variant, a module or a pooling that we can't run; INVALID_ARGUMENT a bad or
// missing value.
absl::StatusOr<EncoderSpec> EncoderSpecFromFolder(const ModelFolder& folder,
                                                  const JsonObject& config);

}  // namespace spillway
