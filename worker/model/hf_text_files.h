#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/model/model_files.h"
#include "worker/model/model_folder.h"

namespace spillway {

// Everything in a Hugging Face folder that is about text. All messages name the file.

// The tokenizer of tokenizer.json and tokenizer_config.json, made as large as the model's
// vocabulary: tokens that the model can give but the files don't name are unused; tokens that the
// model doesn't have are left out, which is INVALID_ARGUMENT where anything needs one.
// What generation_config.json (or config.json) calls an end of the text is one.
// NOT_FOUND: there is no tokenizer.json, and what is there instead.
absl::StatusOr<TokenizerSpec> ReadHfTokenizer(const ModelFolder& folder, int32_t vocabulary_size);

// chat_template.jinja, or else what tokenizer_config.json has; and those of
// additional_chat_templates/. The variables are those of tokenizer_config.json and
// special_tokens_map.json.
absl::StatusOr<ChatTemplateFiles> ReadHfChatTemplates(const ModelFolder& folder);

// temperature, top_p, top_k, min_p and repetition_penalty of generation_config.json, each checked
// as a request's are.
absl::StatusOr<SamplingParams> ReadHfSamplingDefaults(const ModelFolder& folder);

}  // namespace spillway
