#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "worker/cpu_encoder.h"
#include "worker/embedding_tokenizer.h"
#include "worker/executor.h"
#include "worker/text/chat_templates.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_flags.h"

namespace spillway {

// A text model, ready to run. Immutable once loaded, but for the executor.
struct LoadedDecoder {
  std::string name;
  std::string architecture;
  std::string hash;
  int32_t context_tokens_max = 0;  // the model's own
  std::unique_ptr<Tokenizer> tokenizer;
  ChatTemplates chat_templates;  // none: the files have none
  SamplingParams sampling_defaults;
  std::unique_ptr<Executor> executor;
};

// An embedding model likewise.
struct LoadedEncoder {
  std::string name;
  std::string hash;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<EmbeddingTokenizer> texts;
  std::unique_ptr<CpuEncoder> encoder;
};

using LoadedModel = std::variant<LoadedDecoder, LoadedEncoder>;

// Brings the model of the flags to where it runs: a text model onto a GPU where the flags want one,
// or leave it open and there is one, else onto the CPU; an embedding model onto the CPU. Logs what
// the user should know of it. Errors name the model: NOT_FOUND, INVALID_ARGUMENT and UNIMPLEMENTED:
// its files; RESOURCE_EXHAUSTED: it doesn't fit, and how much is missing.
absl::StatusOr<LoadedModel> LoadModel(const WorkerFlags& flags);

}  // namespace spillway
