#include "worker/model/hf_config.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/hf_rope.h"

namespace spillway {
namespace {

using Limits = ModelSpecLimits;

// Which layers of a family see only the sliding window, where the file has no layer_types.
enum class LocalLayers {
  kNone,         // the family has no window
  kAll,          // every layer, if there is a window
  kFromMaximum,  // those from max_window_layers on, if use_sliding_window
  kAlternating,  // all but every second
  kPattern,      // all but every sliding_window_pattern-th
};

// A model_type: what its forward pass is, and its configuration class's defaults.
struct Family {
  std::string_view model_type;
  int32_t vocabulary_size = 0;
  int32_t head_count = 32;
  int32_t kv_head_count = 0;  // 0: as many as heads
  int32_t head_size = 0;      // 0: hidden_size / head_count
  int32_t context_tokens = 0;
  double rope_theta = 1e4;
  double local_rope_theta = 0;  // 0: local layers rotate as the others do
  LocalLayers local_layers = LocalLayers::kNone;
  int32_t sliding_window = 4096;
  bool tied_embeddings = false;
  bool qkv_bias = false;        // always, whatever attention_bias says
  bool attention_bias = false;  // it has that field, for biases of q, k, v and the output
  bool mlp_bias = false;        // it has that field
  bool qk_norm = false;
  bool gemma = false;  // embedding scale, 1 + w norms, gelu
  bool post_norms = false;
  double query_scale = 0;  // query_pre_attn_scalar; 0: the family has neither it nor soft caps
  double attention_soft_cap = 0;  // 0: whatever the field says
  double logit_soft_cap = 0;
};

// transformers 5.23, models/*/configuration_*.py.
constexpr Family kFamilies[] = {
    {.model_type = "llama",
     .vocabulary_size = 32000,
     .context_tokens = 2048,
     .attention_bias = true,
     .mlp_bias = true},
    {.model_type = "mistral",
     .vocabulary_size = 32000,
     .kv_head_count = 8,
     .context_tokens = 131072,
     .local_layers = LocalLayers::kAll},
    {.model_type = "qwen2",
     .vocabulary_size = 151936,
     .kv_head_count = 32,
     .context_tokens = 32768,
     .local_layers = LocalLayers::kFromMaximum,
     .qkv_bias = true},
    {.model_type = "qwen3",
     .vocabulary_size = 151936,
     .kv_head_count = 32,
     .head_size = 128,
     .context_tokens = 32768,
     .local_layers = LocalLayers::kFromMaximum,
     .attention_bias = true,
     .qk_norm = true},
    {.model_type = "gemma",
     .vocabulary_size = 256000,
     .head_count = 16,
     .kv_head_count = 16,
     .head_size = 256,
     .context_tokens = 8192,
     .tied_embeddings = true,
     .attention_bias = true,
     .gemma = true},
    {.model_type = "gemma2",
     .vocabulary_size = 256000,
     .head_count = 8,
     .kv_head_count = 4,
     .head_size = 256,
     .context_tokens = 8192,
     .local_layers = LocalLayers::kAlternating,
     .tied_embeddings = true,
     .attention_bias = true,
     .gemma = true,
     .post_norms = true,
     .query_scale = 256,
     .attention_soft_cap = 50,
     .logit_soft_cap = 30},
    {.model_type = "gemma3_text",
     .vocabulary_size = 262208,
     .head_count = 8,
     .kv_head_count = 4,
     .head_size = 256,
     .context_tokens = 131072,
     .rope_theta = 1e6,
     .local_rope_theta = 1e4,
     .local_layers = LocalLayers::kPattern,
     .tied_embeddings = true,
     .attention_bias = true,
     .qk_norm = true,
     .gemma = true,
     .post_norms = true,
     .query_scale = 256},
};

// Models of several parts whose text part is one of the above.
struct Nest {
  std::string_view model_type;
  std::string_view text_model_type;  // where text_config doesn't say
};
constexpr Nest kNests[] = {{"gemma3", "gemma3_text"}, {"mistral3", "mistral"}};

absl::StatusOr<const Family*> FindFamily(const JsonObject& config, std::string_view otherwise) {
  ASSIGN_OR_RETURN(const std::string name, otherwise.empty()
                                               ? config.String("model_type")
                                               : config.StringOr("model_type", otherwise));
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type == name) return &family;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(family.model_type));
  }
  for (const Nest& nest : kNests) absl::StrAppend(&known, ", ", std::string(nest.model_type));
  return absl::UnimplementedError(
      absl::StrCat(config.NameOf("model_type"), " is \"", name, "\"; this build runs: ", known));
}

absl::Status RefuseVariants(const JsonObject& config) {
  constexpr std::string_view kBidirectional = "use_bidirectional_attention";
  ASSIGN_OR_RETURN(const bool bidirectional, config.BoolOr(kBidirectional, false));
  if (bidirectional) {
    return absl::UnimplementedError(
        absl::StrCat(config.NameOf(kBidirectional), " is true; this build runs models without"));
  }
  ASSIGN_OR_RETURN(const bool causal, config.BoolOr("is_causal", true));
  if (!causal) {
    return absl::UnimplementedError(absl::StrCat(
        config.NameOf("is_causal"), " is false; this build runs decoders as such only"));
  }
  return absl::OkStatus();
}

absl::Status RefuseQuantization(const JsonObject& config) {
  for (const std::string_view key : {"quantization_config", "compression_config"}) {
    if (!config.Has(key)) continue;
    ASSIGN_OR_RETURN(const JsonObject quantization, config.Object(key));
    ASSIGN_OR_RETURN(const std::string method, quantization.StringOr("quant_method", "unknown"));
    return absl::UnimplementedError(absl::StrCat(
        config.NameOf(key), " says that the weights are quantised (", method,
        "); of folders this build runs BF16, F16 and F32 weights, quantised ones from GGUF files"));
  }
  return absl::OkStatus();
}

// A number with the family's default; null stands for `otherwise_null`.
absl::StatusOr<int32_t> IntOr(const JsonObject& config, std::string_view key, int32_t otherwise,
                              int32_t otherwise_null, int32_t high) {
  if (config.IsNull(key)) return otherwise_null;
  ASSIGN_OR_RETURN(const int64_t value, config.IntOr(key, otherwise, 1, high));
  return static_cast<int32_t>(value);
}

absl::Status ReadSizes(const JsonObject& config, const Family& family, ModelSpec& spec) {
  const auto size = [&](std::string_view key, int32_t high, int32_t& to) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t value, config.Int(key, 1, high));
    to = static_cast<int32_t>(value);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(size("num_hidden_layers", Limits::kLayersMax, spec.layer_count));
  RETURN_IF_ERROR(size("hidden_size", Limits::kHiddenSizeMax, spec.hidden_size));
  RETURN_IF_ERROR(size("intermediate_size", Limits::kIntermediateSizeMax, spec.intermediate_size));
  ASSIGN_OR_RETURN(spec.vocabulary_size, IntOr(config, "vocab_size", family.vocabulary_size,
                                               family.vocabulary_size, Limits::kVocabularyMax));
  ASSIGN_OR_RETURN(spec.context_tokens_max,
                   IntOr(config, "max_position_embeddings", family.context_tokens,
                         family.context_tokens, Limits::kContextTokensMax));
  ASSIGN_OR_RETURN(const double epsilon, config.FloatOr("rms_norm_eps", 1e-6, 1e-12, 1e-1));
  spec.rms_norm_epsilon = static_cast<float>(epsilon);
  return absl::OkStatus();
}

absl::Status ReadHeads(const JsonObject& config, const Family& family, ModelSpec& spec) {
  ASSIGN_OR_RETURN(spec.head_count, IntOr(config, "num_attention_heads", family.head_count,
                                          family.head_count, Limits::kHeadsMax));
  const int32_t kv_default = family.kv_head_count == 0 ? spec.head_count : family.kv_head_count;
  ASSIGN_OR_RETURN(spec.kv_head_count, IntOr(config, "num_key_value_heads", kv_default,
                                             spec.head_count, Limits::kHeadsMax));
  if (spec.head_count % spec.kv_head_count != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.NameOf("num_attention_heads"), " is ", spec.head_count,
                     ", not a multiple of num_key_value_heads, ", spec.kv_head_count));
  }
  ASSIGN_OR_RETURN(spec.head_size, IntOr(config, "head_dim", family.head_size, family.head_size,
                                         Limits::kHeadSizeMax));
  if (spec.head_size == 0) {
    if (spec.hidden_size % spec.head_count != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(config.NameOf("hidden_size"), " is ", spec.hidden_size,
                       ", not a multiple of num_attention_heads, ", spec.head_count));
    }
    spec.head_size = spec.hidden_size / spec.head_count;
  }
  if (spec.head_size > Limits::kHeadSizeMax || spec.head_size % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.NameOf("head_dim"), ": heads of ", spec.head_size,
                     " elements: not an even number up to ", Limits::kHeadSizeMax));
  }
  if (spec.head_count * spec.head_size > Limits::kHiddenSizeMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        config.NameOf("num_attention_heads"), ": ", spec.head_count, " heads of ", spec.head_size,
        " elements exceed the limit of ", Limits::kHiddenSizeMax, " in all"));
  }
  spec.rope_size = spec.head_size;
  return absl::OkStatus();
}

absl::Status ReadBiases(const JsonObject& config, const Family& family, ModelSpec& spec) {
  spec.qkv_bias = family.qkv_bias;
  if (family.attention_bias) {
    ASSIGN_OR_RETURN(spec.qkv_bias, config.BoolOr("attention_bias", false));
    spec.attention_output_bias = spec.qkv_bias;
  }
  if (family.mlp_bias) {
    ASSIGN_OR_RETURN(spec.ffn_bias, config.BoolOr("mlp_bias", false));
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelSpec::Activation> ReadActivation(const JsonObject& config,
                                                     const Family& family) {
  // The later Gemmas have a field of their own, and a hidden_act that nothing reads.
  const char* const key =
      family.gemma && family.model_type != "gemma" ? "hidden_activation" : "hidden_act";
  ASSIGN_OR_RETURN(const std::string name,
                   config.StringOr(key, family.gemma ? "gelu_pytorch_tanh" : "silu"));
  if (name == "silu" || name == "swish") return ModelSpec::Activation::kSilu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return ModelSpec::Activation::kGeluTanh;
  // What the first Gemma's official files say, and mean the other by.
  if (name == "gelu" && family.model_type == "gemma") return ModelSpec::Activation::kGeluTanh;
  return absl::UnimplementedError(absl::StrCat(config.NameOf(key), " is \"", name,
                                               "\"; this build runs: silu, gelu_pytorch_tanh"));
}

absl::StatusOr<std::vector<bool>> DefaultLocalLayers(const JsonObject& config, const Family& family,
                                                     int32_t layer_count) {
  int64_t first = 0;    // the first local layer
  int64_t pattern = 0;  // every such layer is global; 0: none is
  if (family.local_layers == LocalLayers::kFromMaximum) {
    ASSIGN_OR_RETURN(first, config.IntOr("max_window_layers", 28, 0, Limits::kContextTokensMax));
  } else if (family.local_layers == LocalLayers::kAlternating) {
    pattern = 2;
  } else if (family.local_layers == LocalLayers::kPattern) {
    ASSIGN_OR_RETURN(pattern, config.IntOr("sliding_window_pattern", 6, 1, Limits::kLayersMax));
  }
  std::vector<bool> local;
  for (int32_t layer = 0; layer < layer_count; ++layer) {
    local.push_back(layer >= first && (pattern == 0 || (layer + 1) % pattern != 0));
  }
  return local;
}

absl::StatusOr<std::vector<bool>> ReadLayerTypes(const JsonObject& config, int32_t layer_count) {
  ASSIGN_OR_RETURN(const std::vector<std::string> types, config.Strings("layer_types"));
  if (types.size() != static_cast<size_t>(layer_count)) {
    return absl::InvalidArgumentError(absl::StrCat(config.NameOf("layer_types"), " has ",
                                                   types.size(), " entries for ", layer_count,
                                                   " layers"));
  }
  std::vector<bool> local;
  for (const std::string& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      return absl::UnimplementedError(
          absl::StrCat(config.NameOf("layer_types"), " has \"", type,
                       "\"; this build runs: full_attention, sliding_attention"));
    }
    local.push_back(type == "sliding_attention");
  }
  return local;
}

absl::Status ReadWindow(const JsonObject& config, const Family& family, ModelSpec& spec) {
  if (family.local_layers == LocalLayers::kNone) return absl::OkStatus();
  ASSIGN_OR_RETURN(int32_t window, IntOr(config, "sliding_window", family.sliding_window, 0,
                                         Limits::kContextTokensMax));
  if (family.local_layers == LocalLayers::kFromMaximum) {
    ASSIGN_OR_RETURN(const bool used, config.BoolOr("use_sliding_window", false));
    if (!used) window = 0;
  }
  std::vector<bool> local;
  // A Mistral's layers are all alike, whatever layer_types says.
  if (config.Has("layer_types") && family.local_layers != LocalLayers::kAll) {
    ASSIGN_OR_RETURN(local, ReadLayerTypes(config, spec.layer_count));
  } else {
    ASSIGN_OR_RETURN(local, DefaultLocalLayers(config, family, spec.layer_count));
  }
  // Gemma 3's local layers have a rope of their own even without a window.
  if (window == 0 && family.local_rope_theta == 0) return absl::OkStatus();
  if (std::find(local.begin(), local.end(), true) == local.end()) return absl::OkStatus();
  spec.sliding_window = window == 0 ? Limits::kContextTokensMax : window;
  spec.local_layers = std::move(local);
  return absl::OkStatus();
}

absl::StatusOr<float> ReadSoftCap(const JsonObject& config, std::string_view key,
                                  double otherwise) {
  if (config.IsNull(key)) return 0.0f;
  ASSIGN_OR_RETURN(const double cap, config.FloatOr(key, otherwise, 0, 1e6));
  return static_cast<float>(cap);
}

absl::Status ReadGemma(const JsonObject& config, const Family& family, ModelSpec& spec) {
  if (!family.gemma) return absl::OkStatus();
  spec.norm_offset = 1;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  spec.post_norms = family.post_norms;
  if (family.query_scale == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const double scalar,
                   config.FloatOr("query_pre_attn_scalar", family.query_scale, 1e-3, 1e6));
  spec.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
  if (family.attention_soft_cap > 0) {
    ASSIGN_OR_RETURN(spec.attention_soft_cap,
                     ReadSoftCap(config, "attn_logit_softcapping", family.attention_soft_cap));
  }
  ASSIGN_OR_RETURN(spec.logit_soft_cap,
                   ReadSoftCap(config, "final_logit_softcapping", family.logit_soft_cap));
  return absl::OkStatus();
}

absl::StatusOr<ModelSpec> ReadDecoder(const JsonObject& config, const Family& family) {
  RETURN_IF_ERROR(RefuseQuantization(config));
  RETURN_IF_ERROR(RefuseVariants(config));
  ModelSpec spec;
  spec.architecture = std::string(family.model_type);
  spec.rope_layout = ModelSpec::RopeLayout::kHalves;
  spec.qk_norm = family.qk_norm;
  RETURN_IF_ERROR(ReadSizes(config, family, spec));
  RETURN_IF_ERROR(ReadHeads(config, family, spec));
  RETURN_IF_ERROR(ReadBiases(config, family, spec));
  ASSIGN_OR_RETURN(spec.activation, ReadActivation(config, family));
  RETURN_IF_ERROR(ReadWindow(config, family, spec));
  RETURN_IF_ERROR(ReadHfRope(config, family.rope_theta, family.local_rope_theta, spec));
  RETURN_IF_ERROR(ReadGemma(config, family, spec));
  ASSIGN_OR_RETURN(spec.tied_embeddings,
                   config.BoolOr("tie_word_embeddings", family.tied_embeddings));
  return spec;
}

}  // namespace

absl::StatusOr<ModelSpec> ModelSpecFromHfConfig(const JsonObject& config) {
  RETURN_IF_ERROR(RefuseQuantization(config));
  ASSIGN_OR_RETURN(const std::string model_type, config.String("model_type"));
  for (const Nest& nest : kNests) {
    if (nest.model_type != model_type) continue;
    ASSIGN_OR_RETURN(const JsonObject text, config.Object("text_config"));
    ASSIGN_OR_RETURN(const Family* const family, FindFamily(text, nest.text_model_type));
    ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(text, *family));
    // The whole decides: its classes tie unless told otherwise.
    ASSIGN_OR_RETURN(spec.tied_embeddings, config.BoolOr("tie_word_embeddings", true));
    return spec;
  }
  ASSIGN_OR_RETURN(const Family* const family, FindFamily(config, ""));
  return ReadDecoder(config, *family);
}

}  // namespace spillway
