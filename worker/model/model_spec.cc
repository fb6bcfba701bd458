#include "worker/model/model_spec.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/gguf_keys.h"
#include "worker/model/gguf_rope.h"

namespace spillway {
namespace {

using Limits = ModelSpecLimits;

// A general.architecture: what its forward pass is, and what its files leave unsaid (as llama.cpp's
// src/models/*.cpp has it, where that isn't against transformers).
struct Architecture {
  std::string_view name;
  ModelSpec::RopeLayout rope_layout = ModelSpec::RopeLayout::kHalves;
  GgufRopeDefaults rope;
  bool qkv_bias = false;  // required; any architecture may have biases
  bool qk_norm = false;
  bool gemma = false;  // embedding scale, GELU; files have norms with 1 added
  bool post_norms = false;

  int32_t sliding_window = 0;
  // All but every such layer are local, where there is a window: 0: all are; kSaid: the file must
  // say.
  static constexpr int32_t kSaid = -1;
  int32_t window_pattern = kSaid;

  // Soft caps where the file has none; kNone: the architecture has none.
  static constexpr double kNone = -1;
  double attention_soft_cap = kNone;
  double logit_soft_cap = kNone;
  // The largest model's attention scale is 1 / sqrt(hidden / heads) and not 1 / sqrt(head_size).
  // Its number of layers tells it.
  int32_t largest_layer_count = 0;
};

// A row is added when the decoder can run it and a fixture of its logits says so
// (tests/worker/model/tiny_models_test.cc).
constexpr Architecture kArchitectures[] = {
    {.name = "llama",
     .rope_layout = ModelSpec::RopeLayout::kInterleaved,
     .rope = {.factors = true},
     .window_pattern = 0},  // Mistral's files, too
    // What newer converters make of Mistral Small 3 and Ministral 3.
    {.name = "mistral3",
     .rope_layout = ModelSpec::RopeLayout::kInterleaved,
     .rope = {.factors = true},
     .window_pattern = 0},
    {.name = "qwen2", .qkv_bias = true},
    {.name = "qwen3", .qk_norm = true},
    {.name = "gemma", .gemma = true},
    {.name = "gemma2",
     .gemma = true,
     .post_norms = true,
     .sliding_window = 4096,
     .window_pattern = 2,
     .attention_soft_cap = 50,
     .logit_soft_cap = 30,
     .largest_layer_count = 46},
    {.name = "gemma3",
     .rope = {.base = 1e6, .local_base = 1e4},
     .qk_norm = true,
     .gemma = true,
     .post_norms = true,
     .window_pattern = 6,
     .logit_soft_cap = 0,
     .largest_layer_count = 62},
};

// Keys that change the forward pass in a way that we can't run, unless they have the value at which
// they do nothing.
struct NeutralValue {
  std::string_view key;
  double value;
};
constexpr NeutralValue kNeutralValues[] = {
    {"expert_count", 0},          {"expert_used_count", 0}, {"attention.max_alibi_bias", 0},
    {"attention.clamp_kqv", 0},   {"attention.causal", 1},  {"attention.temperature_scale", 0},
    {"use_parallel_residual", 0}, {"embedding_scale", 1},   {"residual_scale", 1},
    {"logit_scale", 1},
};

// Tensors that stand for a variant which we can't run.
struct RefusedTensor {
  const char* name;
  const char* meaning;
};
constexpr RefusedTensor kRefusedTensors[] = {
    {"blk.0.attn_qkv.weight", "queries, keys and values in one"},
    {"blk.0.attn_sinks.weight", "attention sinks"},
    {"blk.0.attn_sub_norm.weight", "a norm inside the attention"},
    {"blk.0.ffn_sub_norm.weight", "a norm inside the feed-forward layer"},
    {"blk.0.attn_norm.bias", "a bias of a norm"},
    {"blk.0.attn_q.scale", "scaled weights"},
    {"output_norm.bias", "a bias of a norm"},
    {"output.bias", "a bias of the head"},
};

absl::StatusOr<const Architecture*> FindArchitecture(std::string_view name) {
  std::string known;
  for (const Architecture& row : kArchitectures) {
    if (row.name == name) return &row;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(row.name));
  }
  return absl::UnimplementedError(absl::StrCat("GGUF: general.architecture is \"",
                                               std::string(name), "\"; this build runs: ", known));
}

absl::Status RefuseTensor(const GgufFile& file, const RefusedTensor& refused) {
  if (file.FindTensor(refused.name) == nullptr) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("GGUF: the tensor ", refused.name, " stands for ",
                                               refused.meaning, ", which this build can't run"));
}

absl::Status RefuseVariants(const GgufKeys& keys, const Architecture& row) {
  for (const NeutralValue& neutral : kNeutralValues) {
    RETURN_IF_ERROR(keys.RequireNeutral(neutral.key, neutral.value));
  }
  for (const RefusedTensor& refused : kRefusedTensors) {
    RETURN_IF_ERROR(RefuseTensor(keys.file(), refused));
  }
  if (row.qk_norm) return absl::OkStatus();
  return RefuseTensor(keys.file(), {"blk.0.attn_q_norm.weight", "normalised queries"});
}

absl::Status ReadHeads(const GgufKeys& keys, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.head_count, keys.Int("attention.head_count", 1, Limits::kHeadsMax));
  ASSIGN_OR_RETURN(spec.kv_head_count,
                   keys.IntOr("attention.head_count_kv", spec.head_count, 1, Limits::kHeadsMax));
  if (spec.head_count % spec.kv_head_count != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "GGUF: ", keys.Full("attention.head_count"), " is ", spec.head_count,
        ", not a multiple of ", keys.Full("attention.head_count_kv"), ", ", spec.kv_head_count));
  }
  ASSIGN_OR_RETURN(spec.head_size, keys.IntOr("attention.key_length", 0, 1, Limits::kHeadSizeMax));
  if (spec.head_size == 0) {
    if (spec.hidden_size % spec.head_count != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "GGUF: ", keys.Full("embedding_length"), " is ", spec.hidden_size, ", not a multiple of ",
          keys.Full("attention.head_count"), ", ", spec.head_count));
    }
    spec.head_size = spec.hidden_size / spec.head_count;
  }
  if (spec.head_size > Limits::kHeadSizeMax || spec.head_size % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: heads of ", spec.head_size,
                                                   " elements: not an even number up to ",
                                                   Limits::kHeadSizeMax));
  }
  if (spec.head_count * spec.head_size > Limits::kHiddenSizeMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", spec.head_count, " heads of ",
                                                   spec.head_size, " elements exceed the limit of ",
                                                   Limits::kHiddenSizeMax, " in all"));
  }
  ASSIGN_OR_RETURN(spec.rope_size,
                   keys.IntOr("rope.dimension_count", spec.head_size, 2, spec.head_size));
  if (spec.rope_size % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", keys.Full("rope.dimension_count"),
                                                   " is ", spec.rope_size, ", an odd number"));
  }
  for (const char* const key :
       {"attention.value_length", "attention.key_length_swa", "attention.value_length_swa"}) {
    RETURN_IF_ERROR(keys.RequireNeutral(key, spec.head_size));
  }
  return keys.RequireNeutral("rope.dimension_count_swa", spec.rope_size);
}

// A table [vocabulary, hidden] that rows are taken from or multiplied with.
absl::Status CheckTable(const ModelTensor& tensor, const ModelSpec& spec) {
  if (tensor.dims.size() == 2 && tensor.dims[0] == spec.hidden_size &&
      tensor.dims[1] == spec.vocabulary_size) {
    return absl::OkStatus();
  }
  std::string shape;
  for (const int64_t dim : tensor.dims) absl::StrAppend(&shape, shape.empty() ? "" : " x ", dim);
  return absl::InvalidArgumentError(absl::StrCat("GGUF: the tensor ", tensor.name, " is ", shape,
                                                 ", not ", spec.hidden_size, " x ",
                                                 spec.vocabulary_size));
}

absl::Status ReadVocabulary(const GgufKeys& keys, ModelSpec& spec) {
  const GgufFile& file = keys.file();
  const ModelTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    return absl::InvalidArgumentError("GGUF: the file has no tensor token_embd.weight");
  }
  const int64_t rows = embedding->dims.size() == 2 ? embedding->dims[1] : 0;
  if (rows < 1 || rows > Limits::kVocabularyMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: token_embd.weight has ", rows,
                                                   " rows, beyond 1 to ", Limits::kVocabularyMax));
  }
  // The key is optional and says the same as the table.
  ASSIGN_OR_RETURN(spec.vocabulary_size,
                   keys.IntOr("vocab_size", static_cast<int32_t>(rows), 1, Limits::kVocabularyMax));
  RETURN_IF_ERROR(CheckTable(*embedding, spec));
  const ModelTensor* head = file.FindTensor("output.weight");
  spec.tied_embeddings = head == nullptr;
  if (head != nullptr) RETURN_IF_ERROR(CheckTable(*head, spec));
  return absl::OkStatus();
}

// Which layers are local: a flag for each, or a number n: all but every n-th.
absl::StatusOr<std::vector<bool>> ReadLocalLayers(const GgufKeys& keys, const Architecture& row,
                                                  int32_t layer_count) {
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  if (const auto flags = keys.file().GetBools(keys.Full(kPattern)); flags.ok()) {
    if (flags->size() == static_cast<size_t>(layer_count)) return flags;
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", keys.Full(kPattern), " has ",
                                                   flags->size(), " entries for ", layer_count,
                                                   " layers"));
  }
  ASSIGN_OR_RETURN(const int32_t pattern,
                   keys.IntOr(kPattern, row.window_pattern, 0, Limits::kLayersMax));
  if (pattern == Architecture::kSaid) {
    return absl::UnimplementedError(
        absl::StrCat("GGUF: the file has ", keys.Full("attention.sliding_window"), " and no ",
                     keys.Full(kPattern), " to say for which layers it is"));
  }
  std::vector<bool> local;
  for (int32_t layer = 0; layer < layer_count; ++layer) {
    local.push_back(pattern == 0 || (layer + 1) % pattern != 0);
  }
  return local;
}

absl::Status ReadWindow(const GgufKeys& keys, const Architecture& row, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.sliding_window, keys.IntOr("attention.sliding_window", row.sliding_window,
                                                   0, Limits::kContextTokensMax));
  if (spec.sliding_window == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(spec.local_layers, ReadLocalLayers(keys, row, spec.layer_count));
  return absl::OkStatus();
}

absl::StatusOr<float> ReadSoftCap(const GgufKeys& keys, std::string_view key, double otherwise) {
  if (otherwise == Architecture::kNone) {
    RETURN_IF_ERROR(keys.RequireNeutral(key, 0));
    return 0.0f;
  }
  ASSIGN_OR_RETURN(const double cap, keys.FloatOr(key, otherwise, 0, 1e6));
  return static_cast<float>(cap);
}

absl::Status ReadScales(const GgufKeys& keys, const Architecture& row, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.attention_soft_cap,
                   ReadSoftCap(keys, "attn_logit_softcapping", row.attention_soft_cap));
  ASSIGN_OR_RETURN(spec.logit_soft_cap,
                   ReadSoftCap(keys, "final_logit_softcapping", row.logit_soft_cap));
  ASSIGN_OR_RETURN(const double scale, keys.FloatOr("attention.scale", 0, 0, 1e6));
  spec.attention_scale = static_cast<float>(scale);
  if (!row.gemma) return absl::OkStatus();
  spec.activation = ModelSpec::Activation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  if (scale == 0 && spec.layer_count == row.largest_layer_count) {
    const int32_t share = spec.hidden_size / spec.head_count;
    spec.attention_scale = 1.0f / std::sqrt(static_cast<float>(share));
  }
  return absl::OkStatus();
}

// What Ollama's converter once got wrong in the files that its library still has, known by the
// names that it gives Gemma 3's ropes: a soft cap in the smallest model, no rope scaling in the
// larger ones. (Its own engine corrects them so: model/models/gemma3/model_text.go.)
void CorrectOllamasGemma3(const GgufKeys& keys, ModelSpec& spec) {
  constexpr int32_t kLayersOf1B = 26;
  constexpr int32_t kLayersOf4B = 34;
  constexpr int32_t kLayersOf12B = 48;
  constexpr int32_t kLayersOf27B = 62;
  constexpr double kFactor = 8;
  if (spec.architecture != "gemma3" || !keys.Has("rope.local.freq_base")) return;
  const int32_t layers = spec.layer_count;
  if (layers == kLayersOf1B) spec.logit_soft_cap = 0;
  const bool large = layers == kLayersOf4B || layers == kLayersOf12B || layers == kLayersOf27B;
  if (!large || keys.Has("rope.scaling.factor")) return;
  for (double& frequency : spec.rope.frequencies) frequency /= kFactor;
}

}  // namespace

absl::StatusOr<ModelSpec> ModelSpecFromGguf(const GgufFile& file) {
  if (!file.Has("general.architecture")) {
    return absl::InvalidArgumentError("GGUF: the file has no general.architecture");
  }
  ASSIGN_OR_RETURN(const std::string_view architecture, file.GetString("general.architecture"));
  ASSIGN_OR_RETURN(const Architecture* const row, FindArchitecture(architecture));
  const GgufKeys keys(file, row->name);
  RETURN_IF_ERROR(RefuseVariants(keys, *row));

  ModelSpec spec;
  spec.architecture = std::string(row->name);
  spec.rope_layout = row->rope_layout;
  spec.qkv_bias = row->qkv_bias;
  spec.qk_norm = row->qk_norm;
  spec.post_norms = row->post_norms;
  ASSIGN_OR_RETURN(spec.layer_count, keys.Int("block_count", 1, Limits::kLayersMax));
  ASSIGN_OR_RETURN(spec.hidden_size, keys.Int("embedding_length", 1, Limits::kHiddenSizeMax));
  ASSIGN_OR_RETURN(spec.intermediate_size,
                   keys.Int("feed_forward_length", 1, Limits::kIntermediateSizeMax));
  ASSIGN_OR_RETURN(spec.context_tokens_max,
                   keys.Int("context_length", 1, Limits::kContextTokensMax));
  RETURN_IF_ERROR(ReadHeads(keys, spec));
  ASSIGN_OR_RETURN(const double epsilon,
                   keys.Float("attention.layer_norm_rms_epsilon", 1e-12, 1e-1));
  spec.rms_norm_epsilon = static_cast<float>(epsilon);
  RETURN_IF_ERROR(ReadGgufRope(keys, row->rope, spec));
  RETURN_IF_ERROR(ReadWindow(keys, *row, spec));
  RETURN_IF_ERROR(ReadScales(keys, *row, spec));
  RETURN_IF_ERROR(ReadVocabulary(keys, spec));
  CorrectOllamasGemma3(keys, spec);
  return spec;
}

}  // namespace spillway
