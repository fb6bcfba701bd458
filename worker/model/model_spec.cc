#include "worker/model/model_spec.h"

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

struct ArchitectureRow {
  std::string_view name;
  ModelSpec::RopeLayout rope_layout;
  bool qkv_bias;
  bool qk_norm;
};

// A row is added when the decoder can run it and a fixture of its logits says so.
constexpr ArchitectureRow kArchitectures[] = {
    {"llama", ModelSpec::RopeLayout::kInterleaved, /*qkv_bias=*/false, /*qk_norm=*/false},
};

// Keys (after "ARCHITECTURE.") that change the forward pass in a way that we can't run, unless they
// have the value at which they do nothing.
struct NeutralValue {
  std::string_view key;
  double value;
};
constexpr NeutralValue kNeutralValues[] = {
    {"expert_count", 0},
    {"expert_used_count", 0},
    {"attention.sliding_window", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.clamp_kqv", 0},
    {"attention.scale", 0},
    {"attention.causal", 1},
    {"use_parallel_residual", 0},
    {"embedding_scale", 1},
    {"residual_scale", 1},
    {"logit_scale", 1},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"rope.scale_linear", 1},
    {"rope.scaling.factor", 1},
    {"rope.scaling.attn_factor", 1},
};

// Tensors that stand for a variant which we can't run.
struct RefusedTensor {
  const char* name;
  const char* meaning;
};
constexpr RefusedTensor kRefusedTensors[] = {
    {"rope_freqs.weight", "scaled rope frequencies (llama3)"},
    {"rope_factors_long.weight", "scaled rope frequencies (longrope)"},
    {"rope_factors_short.weight", "scaled rope frequencies (longrope)"},
    {"blk.0.attn_q_norm.weight", "normalised queries"},
    {"blk.0.attn_q.bias", "a bias of the queries"},
    {"blk.0.attn_output.bias", "a bias of the attention's output"},
    {"blk.0.ffn_gate.bias", "a bias of the feed-forward layer"},
    {"output.bias", "a bias of the head"},
};

absl::StatusOr<const ArchitectureRow*> FindArchitecture(std::string_view name) {
  std::string known;
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.name == name) return &row;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(row.name));
  }
  return absl::UnimplementedError(absl::StrCat("GGUF: general.architecture is \"",
                                               std::string(name), "\"; this build runs: ", known));
}

// A number of any type; nullopt when the key is missing.
absl::StatusOr<std::optional<double>> OptionalNumber(const GgufFile& file, std::string_view key) {
  if (!file.Has(key)) return std::nullopt;
  if (const auto number = file.GetInt(key); number.ok()) return static_cast<double>(*number);
  if (const auto flag = file.GetBool(key); flag.ok()) return *flag ? 1.0 : 0.0;
  ASSIGN_OR_RETURN(const double number, file.GetFloat(key));
  return number;
}

// Reads the hyper-parameters under "ARCHITECTURE.".
class Reader {
 public:
  Reader(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  std::string Key(std::string_view key) const { return prefix_ + std::string(key); }

  // In [low, high].
  absl::StatusOr<int32_t> Int(std::string_view key, int32_t low, int32_t high) const {
    RETURN_IF_ERROR(Require(Key(key)));
    ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(Key(key)));
    if (value < low || value > high) return OutOfRange<int64_t>(key, value, low, high);
    return static_cast<int32_t>(value);
  }
  absl::StatusOr<int32_t> IntOr(std::string_view key, int32_t otherwise, int32_t low,
                                int32_t high) const {
    if (file_.Has(Key(key))) return Int(key, low, high);
    return otherwise;
  }
  // In [low, high], and so finite.
  absl::StatusOr<float> Float(std::string_view key, double low, double high) const {
    RETURN_IF_ERROR(Require(Key(key)));
    ASSIGN_OR_RETURN(const double value, file_.GetFloat(Key(key)));
    if (!(value >= low && value <= high)) return OutOfRange(key, value, low, high);
    return static_cast<float>(value);
  }
  absl::StatusOr<float> FloatOr(std::string_view key, float otherwise, double low,
                                double high) const {
    if (file_.Has(Key(key))) return Float(key, low, high);
    return otherwise;
  }

  absl::Status RefuseVariants() const;

 private:
  absl::Status Require(const std::string& key) const {
    if (file_.Has(key)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("GGUF: the file has no ", key));
  }
  template <typename T>
  absl::Status OutOfRange(std::string_view key, T value, T low, T high) const {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: ", Key(key), " is ", value, ", beyond ", low, " to ", high));
  }

  const GgufFile& file_;
  const std::string prefix_;
};

absl::Status Reader::RefuseVariants() const {
  for (const NeutralValue& neutral : kNeutralValues) {
    ASSIGN_OR_RETURN(const std::optional<double> value, OptionalNumber(file_, Key(neutral.key)));
    if (value.has_value() && *value != neutral.value) {
      return absl::UnimplementedError(absl::StrCat("GGUF: ", Key(neutral.key), " is ", *value,
                                                   "; this build runs models with ", neutral.value,
                                                   " or without it"));
    }
  }
  for (const std::string_view key : file_.KeysWithPrefix(Key("rope.scaling."))) {
    const std::string_view name = key.substr(prefix_.size());
    if (name == "rope.scaling.type") {
      ASSIGN_OR_RETURN(const std::string_view type, file_.GetString(key));
      if (type == "none") continue;
      return absl::UnimplementedError(absl::StrCat("GGUF: ", std::string(key), " is \"",
                                                   std::string(type), "\"; this build runs: none"));
    }
    // The first two are in the table above; the others only describe how the model was trained.
    if (name == "rope.scaling.factor" || name == "rope.scaling.attn_factor" ||
        name == "rope.scaling.finetuned" || name == "rope.scaling.original_context_length") {
      continue;
    }
    return absl::UnimplementedError(
        absl::StrCat("GGUF: ", std::string(key), " asks for rope scaling; this build runs none"));
  }
  for (const RefusedTensor& refused : kRefusedTensors) {
    if (file_.FindTensor(refused.name) != nullptr) {
      return absl::UnimplementedError(absl::StrCat("GGUF: the tensor ", refused.name,
                                                   " stands for ", refused.meaning,
                                                   ", which this build can't run"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadHeads(const Reader& reader, ModelSpec& spec) {
  using Limits = ModelSpecLimits;
  ASSIGN_OR_RETURN(spec.head_count, reader.Int("attention.head_count", 1, Limits::kHeadsMax));
  ASSIGN_OR_RETURN(spec.kv_head_count,
                   reader.IntOr("attention.head_count_kv", spec.head_count, 1, Limits::kHeadsMax));
  if (spec.head_count % spec.kv_head_count != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "GGUF: ", reader.Key("attention.head_count"), " is ", spec.head_count,
        ", not a multiple of ", reader.Key("attention.head_count_kv"), ", ", spec.kv_head_count));
  }
  ASSIGN_OR_RETURN(spec.head_size,
                   reader.IntOr("attention.key_length", 0, 1, Limits::kHeadSizeMax));
  if (spec.head_size == 0) {
    if (spec.hidden_size % spec.head_count != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "GGUF: ", reader.Key("embedding_length"), " is ", spec.hidden_size,
          ", not a multiple of ", reader.Key("attention.head_count"), ", ", spec.head_count));
    }
    spec.head_size = spec.hidden_size / spec.head_count;
  }
  if (spec.head_size > Limits::kHeadSizeMax || spec.head_size % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: heads of ", spec.head_size,
                                                   " elements: not an even number up to ",
                                                   Limits::kHeadSizeMax));
  }
  ASSIGN_OR_RETURN(const int32_t value_size,
                   reader.IntOr("attention.value_length", spec.head_size, 1, Limits::kHeadSizeMax));
  if (value_size != spec.head_size) {
    return absl::UnimplementedError(absl::StrCat(
        "GGUF: ", reader.Key("attention.value_length"), " is ", value_size, ", unlike the keys' ",
        spec.head_size, "; this build runs models where they are equal"));
  }
  if (spec.head_count * spec.head_size > Limits::kHiddenSizeMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", spec.head_count, " heads of ",
                                                   spec.head_size, " elements exceed the limit of ",
                                                   Limits::kHiddenSizeMax, " in all"));
  }
  ASSIGN_OR_RETURN(spec.rope_size,
                   reader.IntOr("rope.dimension_count", spec.head_size, 2, spec.head_size));
  if (spec.rope_size % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", reader.Key("rope.dimension_count"),
                                                   " is ", spec.rope_size, ", an odd number"));
  }
  return absl::OkStatus();
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

absl::Status ReadVocabulary(const GgufFile& file, const Reader& reader, ModelSpec& spec) {
  const ModelTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    return absl::InvalidArgumentError("GGUF: the file has no tensor token_embd.weight");
  }
  const int64_t rows = embedding->dims.size() == 2 ? embedding->dims[1] : 0;
  if (rows < 1 || rows > ModelSpecLimits::kVocabularyMax) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: token_embd.weight has ", rows,
                                                   " rows, beyond 1 to ",
                                                   ModelSpecLimits::kVocabularyMax));
  }
  // The key is optional and says the same as the table.
  ASSIGN_OR_RETURN(spec.vocabulary_size, reader.IntOr("vocab_size", static_cast<int32_t>(rows), 1,
                                                      ModelSpecLimits::kVocabularyMax));
  RETURN_IF_ERROR(CheckTable(*embedding, spec));
  const ModelTensor* head = file.FindTensor("output.weight");
  spec.tied_embeddings = head == nullptr;
  if (head != nullptr) RETURN_IF_ERROR(CheckTable(*head, spec));
  return absl::OkStatus();
}

// Activations are quantised per 32 values (DESIGN §6), and so must divide whatever a quantised
// matrix is multiplied with.
absl::Status CheckQuantisedSizes(const GgufFile& file, const ModelSpec& spec) {
  constexpr int32_t kActivationBlock = 32;
  const std::span<const ModelTensor> tensors = file.tensors();
  const bool quantised = std::any_of(tensors.begin(), tensors.end(), [](const ModelTensor& tensor) {
    return IsQuantised(tensor.type);
  });
  if (!quantised) return absl::OkStatus();
  const struct {
    const char* name;
    int32_t size;
  } sizes[] = {{"the embedding length", spec.hidden_size},
               {"the feed-forward length", spec.intermediate_size},
               {"heads x head size", spec.head_count * spec.head_size}};
  for (const auto& [name, size] : sizes) {
    if (size % kActivationBlock != 0) {
      return absl::InvalidArgumentError(absl::StrCat("GGUF: ", name, " is ", size,
                                                     ", not a multiple of ", kActivationBlock,
                                                     " as quantised weights need"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelSpec> ModelSpecFromGguf(const GgufFile& file) {
  using Limits = ModelSpecLimits;
  if (!file.Has("general.architecture")) {
    return absl::InvalidArgumentError("GGUF: the file has no general.architecture");
  }
  ASSIGN_OR_RETURN(const std::string_view architecture, file.GetString("general.architecture"));
  ASSIGN_OR_RETURN(const ArchitectureRow* row, FindArchitecture(architecture));
  const Reader reader(file, row->name);
  RETURN_IF_ERROR(reader.RefuseVariants());

  ModelSpec spec;
  spec.architecture = std::string(row->name);
  spec.rope_layout = row->rope_layout;
  spec.qkv_bias = row->qkv_bias;
  spec.qk_norm = row->qk_norm;
  ASSIGN_OR_RETURN(spec.layer_count, reader.Int("block_count", 1, Limits::kLayersMax));
  ASSIGN_OR_RETURN(spec.hidden_size, reader.Int("embedding_length", 1, Limits::kHiddenSizeMax));
  ASSIGN_OR_RETURN(spec.intermediate_size,
                   reader.Int("feed_forward_length", 1, Limits::kIntermediateSizeMax));
  ASSIGN_OR_RETURN(spec.context_tokens_max,
                   reader.Int("context_length", 1, Limits::kContextTokensMax));
  RETURN_IF_ERROR(ReadHeads(reader, spec));
  ASSIGN_OR_RETURN(spec.rms_norm_epsilon,
                   reader.Float("attention.layer_norm_rms_epsilon", 1e-12, 1e-1));
  // 10,000 is the paper's and what llama.cpp assumes.
  ASSIGN_OR_RETURN(const float rope_base, reader.FloatOr("rope.freq_base", 10'000.0f, 1, 1e12));
  spec.rope = MakeRope(rope_base, spec.rope_size);
  RETURN_IF_ERROR(ReadVocabulary(file, reader, spec));
  RETURN_IF_ERROR(CheckQuantisedSizes(file, spec));
  return spec;
}

}  // namespace spillway
