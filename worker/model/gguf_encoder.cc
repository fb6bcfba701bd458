#include "worker/model/gguf_encoder.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/gguf_keys.h"
#include "worker/model/model_spec.h"

namespace spillway {
namespace {

using Limits = ModelSpecLimits;

constexpr const char* kArchitecture = "bert";
constexpr int32_t kPositionsMax = 1 << 16;
constexpr int32_t kTokenTypesMax = 16;

// llama.cpp's numbers (enum llama_pooling_type).
constexpr int32_t kPoolingMean = 1;
constexpr int32_t kPoolingCls = 2;
constexpr int32_t kPoolingMax = 4;

// How many rows a table has; the weights' loader compares its whole shape.
absl::StatusOr<int32_t> RowsOf(const GgufFile& file, std::string_view name, int32_t high) {
  const ModelTensor* const tensor = file.FindTensor(name);
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: the file has no tensor ", std::string(name)));
  }
  const int64_t rows = tensor->dims.size() == 2 ? tensor->dims[1] : 0;
  if (rows < 1 || rows > high) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: ", std::string(name), " has ", rows, " rows, beyond 1 to ", high));
  }
  return static_cast<int32_t>(rows);
}

}  // namespace

bool IsEncoder(const GgufFile& file) {
  const absl::StatusOr<std::string_view> name = file.GetString("general.architecture");
  return name.ok() && *name == kArchitecture;
}

absl::StatusOr<EncoderSpec> EncoderSpecFromGguf(const GgufFile& file) {
  const GgufKeys keys(file, kArchitecture);
  RETURN_IF_ERROR(keys.RequireNeutral("attention.causal", 0));
  RETURN_IF_ERROR(keys.RequireNeutral("expert_count", 0));
  EncoderSpec spec;
  spec.architecture = kArchitecture;
  ASSIGN_OR_RETURN(spec.layer_count, keys.Int("block_count", 1, Limits::kLayersMax));
  ASSIGN_OR_RETURN(spec.hidden_size, keys.Int("embedding_length", 1, Limits::kHiddenSizeMax));
  ASSIGN_OR_RETURN(spec.intermediate_size,
                   keys.Int("feed_forward_length", 1, Limits::kIntermediateSizeMax));
  ASSIGN_OR_RETURN(spec.head_count, keys.Int("attention.head_count", 1, Limits::kHeadsMax));
  if (spec.hidden_size % spec.head_count != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "GGUF: ", keys.Full("embedding_length"), " is ", spec.hidden_size, ", not a multiple of ",
        keys.Full("attention.head_count"), ", ", spec.head_count));
  }
  ASSIGN_OR_RETURN(const double epsilon, keys.Float("attention.layer_norm_epsilon", 0, 1e-1));
  spec.layer_norm_epsilon = static_cast<float>(epsilon);
  ASSIGN_OR_RETURN(spec.vocabulary_size, RowsOf(file, "token_embd.weight", Limits::kVocabularyMax));
  ASSIGN_OR_RETURN(spec.position_count, RowsOf(file, "position_embd.weight", kPositionsMax));
  ASSIGN_OR_RETURN(spec.token_type_count, RowsOf(file, "token_types.weight", kTokenTypesMax));
  ASSIGN_OR_RETURN(spec.text_tokens_max,
                   keys.IntOr("context_length", spec.position_count, 1, spec.position_count));
  ASSIGN_OR_RETURN(const int32_t pooling, keys.IntOr("pooling_type", kPoolingMean, 0, kPoolingMax));
  if (pooling != kPoolingMean && pooling != kPoolingCls) {
    return absl::UnimplementedError(absl::StrCat("GGUF: ", keys.Full("pooling_type"), " is ",
                                                 pooling, "; this build runs: 1 (mean), 2 (cls)"));
  }
  spec.pooling = pooling == kPoolingMean ? EncoderSpec::Pooling::kMean : EncoderSpec::Pooling::kCls;
  spec.normalize = true;
  return spec;
}

}  // namespace spillway
