#include "worker/model/gguf_rope.h"

#include <cmath>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

using Kind = RopeScaling::Kind;

constexpr double kBaseMax = 1e12;
constexpr double kFactorMin = 1e-3;
constexpr double kFactorMax = 1e6;
constexpr const char* kFactorsTensor = "rope_freqs.weight";

// Keys under "rope.scaling." that are read or that only say how the model was trained.
constexpr std::string_view kScalingKeys[] = {"type",
                                             "factor",
                                             "attn_factor",
                                             "finetuned",
                                             "original_context_length",
                                             "yarn_attn_factor",
                                             "yarn_beta_fast",
                                             "yarn_beta_slow",
                                             "yarn_ext_factor",
                                             "yarn_log_multiplier"};

absl::Status RefuseUnknown(const GgufKeys& keys) {
  constexpr std::string_view kPrefix = "rope.scaling.";
  for (const std::string_view key : keys.WithPrefix(kPrefix)) {
    bool known = false;
    for (const std::string_view name : kScalingKeys) known |= key.substr(kPrefix.size()) == name;
    if (known) continue;
    return absl::UnimplementedError(
        absl::StrCat("GGUF: ", keys.Full(key), " asks for a rope scaling that this build lacks"));
  }
  for (const char* const name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (keys.file().FindTensor(name) == nullptr) continue;
    return absl::UnimplementedError(absl::StrCat("GGUF: the tensor ", name,
                                                 " stands for scaled rope frequencies (longrope), "
                                                 "which this build can't run"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Kind> ReadKind(const GgufKeys& keys, double factor) {
  // A factor alone means linear: files were written so before there was a type.
  ASSIGN_OR_RETURN(const std::string_view type,
                   keys.StringOr("rope.scaling.type", factor == 1 ? "none" : "linear"));
  if (type == "none") return Kind::kNone;
  if (type == "linear") return Kind::kLinear;
  if (type == "yarn") return Kind::kYarn;
  return absl::UnimplementedError(
      absl::StrCat("GGUF: ", keys.Full("rope.scaling.type"), " is \"", std::string(type),
                   "\"; this build runs: none, linear, yarn, and llama3 by ", kFactorsTensor));
}

// 0 stands for 1, as in llama.cpp.
absl::StatusOr<double> ReadFactor(const GgufKeys& keys) {
  const char* const key = keys.Has("rope.scaling.factor") ? "rope.scaling.factor"
                                                          : "rope.scale_linear";  // its old name
  ASSIGN_OR_RETURN(const double factor, keys.FloatOr(key, 1, 0, kFactorMax));
  return factor == 0 ? 1.0 : factor;
}

// convert_hf_to_gguf.py writes config.json's "attention_factor", or else its "attn_factor", to
// yarn_attn_factor. transformers, whose results are ours, takes the first as the magnitude and
// ignores the second. DeepSeek-R1-0528-Qwen3-8B has the second, the reciprocal of yarn's own
// magnitude: that is how to know it. (llama.cpp ignores either.)
std::optional<double> AttentionFactor(double factor, double written) {
  const double own_magnitude = factor <= 1 ? 1 : 0.1 * std::log(factor) + 1;
  if (written <= 0 || std::fabs(written * own_magnitude - 1) < 1e-4) return std::nullopt;
  return written;
}

absl::Status ReadYarn(const GgufKeys& keys, const ModelSpec& spec, RopeScaling& scaling) {
  ASSIGN_OR_RETURN(scaling.original_context_tokens,
                   keys.IntOr("rope.scaling.original_context_length", spec.context_tokens_max, 1,
                              ModelSpecLimits::kContextTokensMax));
  ASSIGN_OR_RETURN(scaling.beta_fast,
                   keys.FloatOr("rope.scaling.yarn_beta_fast", scaling.beta_fast, 1e-3, 1e6));
  ASSIGN_OR_RETURN(scaling.beta_slow,
                   keys.FloatOr("rope.scaling.yarn_beta_slow", scaling.beta_slow, 1e-3, 1e6));
  ASSIGN_OR_RETURN(const double written,
                   keys.FloatOr("rope.scaling.yarn_attn_factor", 0, 0, kFactorMax));
  scaling.attention_factor = AttentionFactor(scaling.factor, written).value_or(0);
  // transformers' mscale_all_dim, with an mscale of 1.
  ASSIGN_OR_RETURN(scaling.mscale_all_dim,
                   keys.FloatOr("rope.scaling.yarn_log_multiplier", 0, 0, kFactorMax));
  if (scaling.mscale_all_dim > 0) scaling.mscale = 1;
  ASSIGN_OR_RETURN(const double extrapolation,
                   keys.FloatOr("rope.scaling.yarn_ext_factor", 1, -1, kFactorMax));
  if (extrapolation == 1 || extrapolation < 0) return absl::OkStatus();  // negative: not set
  return keys.RequireNeutral("rope.scaling.yarn_ext_factor", 1);
}

absl::StatusOr<RopeScaling> ReadScaling(const GgufKeys& keys, const ModelSpec& spec) {
  RopeScaling scaling;
  ASSIGN_OR_RETURN(scaling.factor, ReadFactor(keys));
  ASSIGN_OR_RETURN(scaling.kind, ReadKind(keys, scaling.factor));
  if (scaling.factor < kFactorMin) {
    return absl::InvalidArgumentError(absl::StrCat("GGUF: ", keys.Full("rope.scaling.factor"),
                                                   " is ", scaling.factor, ", below ", kFactorMin));
  }
  if (scaling.kind == Kind::kYarn) RETURN_IF_ERROR(ReadYarn(keys, spec, scaling));
  return scaling;
}

// Llama 3's scaling: by what each frequency is divided.
absl::Status DivideFrequencies(const GgufKeys& keys, bool allowed, Rope& rope) {
  const ModelTensor* const tensor = keys.file().FindTensor(kFactorsTensor);
  if (tensor == nullptr) return absl::OkStatus();
  if (!allowed) {
    return absl::UnimplementedError(absl::StrCat("GGUF: the tensor ", kFactorsTensor,
                                                 " stands for scaled rope frequencies, which this "
                                                 "architecture has not in this build"));
  }
  const std::vector<int64_t> dims = {static_cast<int64_t>(rope.frequencies.size())};
  if (tensor->type != TensorType::kF32 || tensor->dims != dims) {
    return absl::InvalidArgumentError(
        absl::StrCat("GGUF: the tensor ", kFactorsTensor, " is not F32 [", dims[0], "]"));
  }
  for (size_t i = 0; i < rope.frequencies.size(); ++i) {
    float factor;
    std::memcpy(&factor, tensor->data.data() + i * sizeof(factor), sizeof(factor));
    if (!(factor >= kFactorMin && factor <= kFactorMax)) {
      return absl::InvalidArgumentError(absl::StrCat("GGUF: the tensor ", kFactorsTensor, " has ",
                                                     factor, " at ", i, ", beyond ", kFactorMin,
                                                     " to ", kFactorMax));
    }
    rope.frequencies[i] /= static_cast<double>(factor);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadGgufRope(const GgufKeys& keys, const GgufRopeDefaults& defaults, ModelSpec& spec) {
  RETURN_IF_ERROR(RefuseUnknown(keys));
  // Ollama's converter has names of its own for Gemma 3's two.
  const bool local_ones = defaults.local_base > 0;
  const bool ollamas = local_ones && keys.Has("rope.global.freq_base");
  ASSIGN_OR_RETURN(const double base,
                   keys.FloatOr(ollamas ? "rope.global.freq_base" : "rope.freq_base", defaults.base,
                                1, kBaseMax));
  ASSIGN_OR_RETURN(const RopeScaling scaling, ReadScaling(keys, spec));
  spec.rope = MakeRope(base, spec.rope_size, scaling);
  // On top of what the kind of scaling makes of it.
  ASSIGN_OR_RETURN(const double magnitude,
                   keys.FloatOr("rope.scaling.attn_factor", 1, kFactorMin, kFactorMax));
  spec.rope.magnitude *= magnitude;
  RETURN_IF_ERROR(DivideFrequencies(keys, defaults.factors, spec.rope));
  if (!local_ones) {
    if (!keys.Has("rope.freq_base_swa")) return absl::OkStatus();
    return keys.RequireNeutral("rope.freq_base_swa", base);
  }
  const bool ollamas_local = keys.Has("rope.local.freq_base");
  ASSIGN_OR_RETURN(const double local_base,
                   keys.FloatOr(ollamas_local ? "rope.local.freq_base" : "rope.freq_base_swa",
                                defaults.local_base, 1, kBaseMax));
  spec.local_rope = MakeRope(local_base, spec.rope_size);
  return absl::OkStatus();
}

}  // namespace spillway
