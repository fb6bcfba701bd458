#include "worker/model/encoder_spec.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/model_spec.h"

namespace spillway {
namespace {

using Limits = ModelSpecLimits;

constexpr int32_t kPositionsMax = 1 << 16;
constexpr int32_t kTokenTypesMax = 16;
constexpr const char* kArchitecture = "bert";

absl::StatusOr<int32_t> IntOr(const JsonObject& from, std::string_view key, int32_t otherwise,
                              int32_t high) {
  ASSIGN_OR_RETURN(const int64_t value, from.IntOr(key, otherwise, 1, high));
  return static_cast<int32_t>(value);
}

absl::Status RefuseVariants(const JsonObject& config) {
  if (config.Has("quantization_config")) {
    return absl::UnimplementedError(absl::StrCat(config.NameOf("quantization_config"),
                                                 ": this build runs BF16, F16 and F32 weights"));
  }
  for (const char* flag : {"is_decoder", "add_cross_attention"}) {
    ASSIGN_OR_RETURN(const bool set, config.BoolOr(flag, false));
    if (set) {
      return absl::UnimplementedError(
          absl::StrCat(config.NameOf(flag), " is true; this build runs a bert as an encoder"));
    }
  }
  ASSIGN_OR_RETURN(const std::string positions,
                   config.StringOr("position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return absl::UnimplementedError(absl::StrCat(config.NameOf("position_embedding_type"), " is \"",
                                                 positions, "\"; this build runs: absolute"));
  }
  ASSIGN_OR_RETURN(const std::string activation, config.StringOr("hidden_act", "gelu"));
  if (activation != "gelu" && activation != "gelu_python") {
    return absl::UnimplementedError(absl::StrCat(config.NameOf("hidden_act"), " is \"", activation,
                                                 "\"; this build runs encoders with: gelu"));
  }
  return absl::OkStatus();
}

absl::StatusOr<EncoderSpec> ReadConfig(const JsonObject& config) {
  RETURN_IF_ERROR(RefuseVariants(config));
  EncoderSpec spec;
  spec.architecture = kArchitecture;
  ASSIGN_OR_RETURN(spec.layer_count, IntOr(config, "num_hidden_layers", 12, Limits::kLayersMax));
  ASSIGN_OR_RETURN(spec.hidden_size, IntOr(config, "hidden_size", 768, Limits::kHiddenSizeMax));
  ASSIGN_OR_RETURN(spec.intermediate_size,
                   IntOr(config, "intermediate_size", 3072, Limits::kIntermediateSizeMax));
  ASSIGN_OR_RETURN(spec.head_count, IntOr(config, "num_attention_heads", 12, Limits::kHeadsMax));
  if (spec.hidden_size % spec.head_count != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.NameOf("hidden_size"), " is ", spec.hidden_size,
                     ", not a multiple of num_attention_heads, ", spec.head_count));
  }
  ASSIGN_OR_RETURN(spec.vocabulary_size,
                   IntOr(config, "vocab_size", 30522, Limits::kVocabularyMax));
  ASSIGN_OR_RETURN(spec.position_count,
                   IntOr(config, "max_position_embeddings", 512, kPositionsMax));
  ASSIGN_OR_RETURN(spec.token_type_count, IntOr(config, "type_vocab_size", 2, kTokenTypesMax));
  ASSIGN_OR_RETURN(const double epsilon, config.FloatOr("layer_norm_eps", 1e-12, 0, 1e-1));
  spec.layer_norm_epsilon = static_cast<float>(epsilon);
  spec.text_tokens_max = spec.position_count;
  return spec;
}

absl::StatusOr<JsonObject> ReadObject(const ModelFolder& folder, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, folder.ReadText(name, JsonLimits::kBytesMax));
  return JsonObject::Parse(text, name);
}

// Older files have a flag per pooling, newer ones (sentence-transformers 5) a name.
absl::StatusOr<EncoderSpec::Pooling> ReadPooling(const JsonObject& config) {
  using Pooling = EncoderSpec::Pooling;
  std::vector<std::string> modes;
  if (config.IsString("pooling_mode")) {
    ASSIGN_OR_RETURN(const std::string mode, config.String("pooling_mode"));
    modes.push_back(mode);
  } else if (config.Has("pooling_mode")) {
    ASSIGN_OR_RETURN(modes, config.Strings("pooling_mode"));
  } else {
    for (const auto& [flag, mode] : {std::pair("pooling_mode_cls_token", "cls"),
                                     {"pooling_mode_max_tokens", "max"},
                                     {"pooling_mode_mean_tokens", "mean"},
                                     {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                                     {"pooling_mode_weightedmean_tokens", "weightedmean"},
                                     {"pooling_mode_lasttoken", "lasttoken"}}) {
      ASSIGN_OR_RETURN(const bool set, config.BoolOr(flag, false));
      if (set) modes.push_back(mode);
    }
    if (modes.empty()) modes.push_back("mean");
  }
  if (modes.size() == 1 && modes[0] == "mean") return Pooling::kMean;
  if (modes.size() == 1 && modes[0] == "cls") return Pooling::kCls;
  std::string all;
  for (const std::string& mode : modes) absl::StrAppend(&all, all.empty() ? "" : " and ", mode);
  return absl::UnimplementedError(
      absl::StrCat(config.NameOf("pooling_mode"), " is ", all, "; this build runs: mean, cls"));
}

// The modules that a text passes, one after the other: the encoder, its pooling, normalisation.
absl::Status ReadModules(const ModelFolder& folder, EncoderSpec& spec) {
  constexpr const char* kName = "modules.json";
  if (!folder.Has(kName)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, folder.ReadText(kName, JsonLimits::kBytesMax));
  ASSIGN_OR_RETURN(const std::vector<JsonObject> modules, JsonObject::ParseArray(text, kName));
  constexpr std::string_view kOrder[] = {"Transformer", "Pooling", "Normalize"};
  for (size_t i = 0; i < modules.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string type, modules[i].String("type"));
    const std::string name = type.substr(type.find_last_of('.') + 1);
    if (i >= std::size(kOrder) || name != kOrder[i]) {
      return absl::UnimplementedError(
          absl::StrCat(modules[i].NameOf("type"), " is \"", type,
                       "\"; this build runs: Transformer, Pooling, Normalize, in this order"));
    }
    ASSIGN_OR_RETURN(const std::string path, modules[i].StringOr("path", ""));
    if (name == "Transformer" && !path.empty()) {
      return absl::UnimplementedError(absl::StrCat(modules[i].NameOf("path"), " is \"", path,
                                                   "\"; the encoder lies in the folder itself"));
    }
    if (name == "Pooling") {
      ASSIGN_OR_RETURN(const JsonObject config,
                       ReadObject(folder, path.empty() ? "config.json" : path + "/config.json"));
      ASSIGN_OR_RETURN(spec.pooling, ReadPooling(config));
    }
    spec.normalize = spec.normalize || name == "Normalize";
  }
  return absl::OkStatus();
}

// The longest text: sentence-transformers' own limit, else the tokenizer's, never beyond the
// positions.
absl::Status ReadTextTokensMax(const ModelFolder& folder, EncoderSpec& spec) {
  constexpr const char* kName = "sentence_bert_config.json";
  constexpr const char* kTokenizer = "tokenizer_config.json";
  if (folder.Has(kName)) {
    ASSIGN_OR_RETURN(const JsonObject config, ReadObject(folder, kName));
    ASSIGN_OR_RETURN(const bool lower_case, config.BoolOr("do_lower_case", false));
    if (lower_case) {
      return absl::UnimplementedError(absl::StrCat(
          config.NameOf("do_lower_case"), " is true; this build leaves that to the tokenizer"));
    }
    if (config.Has("max_seq_length")) {
      ASSIGN_OR_RETURN(spec.text_tokens_max,
                       IntOr(config, "max_seq_length", 0, Limits::kContextTokensMax));
      spec.text_tokens_max = std::min(spec.text_tokens_max, spec.position_count);
      return absl::OkStatus();
    }
  }
  if (!folder.Has(kTokenizer)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const JsonObject config, ReadObject(folder, kTokenizer));
  // A number beyond all measure says that there is no limit.
  ASSIGN_OR_RETURN(const double limit,
                   config.FloatOr("model_max_length", spec.position_count, 1, 1e40));
  spec.text_tokens_max = static_cast<int32_t>(std::min<double>(limit, spec.position_count));
  return absl::OkStatus();
}

}  // namespace

bool IsEncoder(const JsonObject& config) {
  const absl::StatusOr<std::string> type = config.String("model_type");
  return type.ok() && *type == kArchitecture;
}

absl::StatusOr<EncoderSpec> EncoderSpecFromFolder(const ModelFolder& folder,
                                                  const JsonObject& config) {
  ASSIGN_OR_RETURN(EncoderSpec spec, ReadConfig(config));
  RETURN_IF_ERROR(ReadModules(folder, spec));
  RETURN_IF_ERROR(ReadTextTokensMax(folder, spec));
  return spec;
}

}  // namespace spillway
