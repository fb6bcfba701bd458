#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/model_spec.h"
#include "worker/model/model_tensor.h"
#include "worker/sampling/sampling_params.h"
#include "worker/text/chat_templates.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// What a model's chat templates are, and the special tokens that they know by name.
struct ChatTemplateFiles {
  std::vector<NamedTemplate> templates;  // the default first; none: the model has none
  std::vector<TemplateToken> tokens;
};

// A decoder as it lies on disk. Immutable; tensors() lives as long as it does.
class DecoderFiles {
 public:
  virtual ~DecoderFiles() = default;

  virtual const ModelSpec& spec() const = 0;
  virtual const TensorSource& tensors() const = 0;
  // As many tokens as the model has: what its tokenizer doesn't have is unused.
  virtual absl::StatusOr<TokenizerSpec> ReadTokenizer() const = 0;
  // `tokenizer` is what ReadTokenizer() gave.
  virtual absl::StatusOr<ChatTemplateFiles> ReadChatTemplates(
      const TokenizerSpec& tokenizer) const = 0;
  // What a request gets that doesn't say: docs/decisions/0012-sampling-defaults.md.
  virtual absl::StatusOr<SamplingParams> ReadSamplingDefaults() const = 0;
};

// An encoder likewise.
class EncoderFiles {
 public:
  virtual ~EncoderFiles() = default;

  virtual const EncoderSpec& spec() const = 0;
  virtual const TensorSource& tensors() const = 0;
  virtual absl::StatusOr<TokenizerSpec> ReadTokenizer() const = 0;
};

// A model's files: one of the two.
struct ModelFiles {
  std::unique_ptr<DecoderFiles> decoder;
  std::unique_ptr<EncoderFiles> encoder;
};

// Opens a GGUF file; a Hugging Face folder, or a repository's folder in its cache; or a folder that
// holds no config.json and the GGUF file of exactly one model, or its parts.
//
// Errors are those of the parts and begin with `path`, and then the file of the folder; those of a
// folder that is neither name what it holds.
absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& path);

// `status` with a message that begins with `path`: for what is read or made later on.
absl::Status NamingModel(const absl::Status& status, const std::string& path);

}  // namespace spillway
