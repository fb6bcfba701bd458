#include "worker/model/hf_rope.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/kernels/rope_frequencies.h"

namespace spillway {
namespace {

using Limits = ModelSpecLimits;

constexpr double kThetaMax = 1e12;
constexpr double kFactorMax = 1e6;
constexpr const char* kGlobalLayers = "full_attention";
constexpr const char* kLocalLayers = "sliding_attention";

// The fields of one rope: those that the file has at its old and its new place.
struct RopeFields {
  std::optional<JsonObject> fields;  // none: only theta
  double theta = 0;
};

absl::StatusOr<RopeScaling::Kind> ReadKind(const JsonObject& fields) {
  const char* const key = fields.Has("rope_type") ? "rope_type" : "type";
  ASSIGN_OR_RETURN(const std::string name, fields.StringOr(key, "default"));
  // Up to max_position_embeddings, which is all that we run, "dynamic" changes nothing.
  if (name == "default" || name == "dynamic") return RopeScaling::Kind::kNone;
  if (name == "linear") return RopeScaling::Kind::kLinear;
  if (name == "llama3") return RopeScaling::Kind::kLlama3;
  if (name == "yarn") return RopeScaling::Kind::kYarn;
  return absl::UnimplementedError(
      absl::StrCat(fields.NameOf(key), " is \"", name,
                   "\"; this build runs: default, linear, dynamic, llama3, yarn"));
}

// A number that transformers takes `otherwise` for when it is missing, null or 0.
absl::StatusOr<double> NumberOr(const JsonObject& fields, std::string_view key, double otherwise) {
  ASSIGN_OR_RETURN(const double value, fields.FloatOr(key, 0, 0, kFactorMax));
  return value == 0 ? otherwise : value;
}

absl::Status ReadYarn(const JsonObject& fields, double context, RopeScaling& scaling) {
  scaling.factor = context / scaling.original_context_tokens;
  if (fields.Has("factor")) {
    ASSIGN_OR_RETURN(scaling.factor, fields.Float("factor", 1e-3, kFactorMax));
  }
  ASSIGN_OR_RETURN(scaling.beta_fast, NumberOr(fields, "beta_fast", scaling.beta_fast));
  ASSIGN_OR_RETURN(scaling.beta_slow, NumberOr(fields, "beta_slow", scaling.beta_slow));
  ASSIGN_OR_RETURN(scaling.mscale, NumberOr(fields, "mscale", 0));
  ASSIGN_OR_RETURN(scaling.mscale_all_dim, NumberOr(fields, "mscale_all_dim", 0));
  // Not attn_factor, which files made for other engines carry: transformers doesn't know it.
  if (fields.Has("attention_factor")) {
    ASSIGN_OR_RETURN(scaling.attention_factor, fields.Float("attention_factor", 1e-6, kFactorMax));
  }
  ASSIGN_OR_RETURN(scaling.truncate, fields.BoolOr("truncate", true));
  return absl::OkStatus();
}

absl::StatusOr<RopeScaling> ReadScaling(const JsonObject& config, const JsonObject& fields,
                                        int32_t context) {
  RopeScaling scaling;
  ASSIGN_OR_RETURN(scaling.kind, ReadKind(fields));
  ASSIGN_OR_RETURN(const double rotated, fields.FloatOr("partial_rotary_factor", 1, 0, 1));
  if (rotated != 1 || fields.Has("mrope_section")) {
    return absl::UnimplementedError(absl::StrCat(
        fields.NameOf(rotated != 1 ? "partial_rotary_factor" : "mrope_section"),
        " asks for a rope that this build doesn't run: it turns whole heads by one position"));
  }
  if (scaling.kind == RopeScaling::Kind::kNone) return scaling;
  if (scaling.kind == RopeScaling::Kind::kLinear) {
    ASSIGN_OR_RETURN(scaling.factor, fields.Float("factor", 1e-3, kFactorMax));
    return scaling;
  }
  constexpr const char* kOriginal = "original_max_position_embeddings";
  const JsonObject& place = config.Has(kOriginal) ? config : fields;
  ASSIGN_OR_RETURN(scaling.original_context_tokens,
                   place.FloatOr(kOriginal, context, 1, Limits::kContextTokensMax));
  if (scaling.kind == RopeScaling::Kind::kYarn) {
    RETURN_IF_ERROR(ReadYarn(fields, context, scaling));
    return scaling;
  }
  ASSIGN_OR_RETURN(scaling.factor, fields.Float("factor", 1e-3, kFactorMax));
  ASSIGN_OR_RETURN(scaling.low_frequency_factor, fields.Float("low_freq_factor", 0, kFactorMax));
  ASSIGN_OR_RETURN(scaling.high_frequency_factor, fields.Float("high_freq_factor", 0, kFactorMax));
  if (scaling.high_frequency_factor <= scaling.low_frequency_factor) {
    return absl::InvalidArgumentError(
        absl::StrCat(fields.NameOf("high_freq_factor"), " is ", scaling.high_frequency_factor,
                     ", not above low_freq_factor, ", scaling.low_frequency_factor));
  }
  return scaling;
}

absl::StatusOr<Rope> ReadRope(const JsonObject& config, const RopeFields& rope, ModelSpec& spec) {
  RopeScaling scaling;
  if (rope.fields.has_value()) {
    ASSIGN_OR_RETURN(scaling, ReadScaling(config, *rope.fields, spec.context_tokens_max));
  }
  if (scaling.kind == RopeScaling::Kind::kYarn) {
    // Files say by max_position_embeddings either the stretched context or the original one.
    const double stretched = scaling.original_context_tokens * scaling.factor;
    spec.context_tokens_max = std::max(
        spec.context_tokens_max,
        static_cast<int32_t>(std::min<double>(std::floor(stretched), Limits::kContextTokensMax)));
  }
  return MakeRope(rope.theta, spec.rope_size, scaling);
}

absl::StatusOr<double> Theta(const JsonObject& fields, std::string_view key, double otherwise) {
  return fields.FloatOr(key, otherwise, 1.0001, kThetaMax);
}

// The object `key` of `from`; none when it is missing or empty.
absl::StatusOr<std::optional<JsonObject>> Part(const JsonObject& from, std::string_view key) {
  if (!from.Has(key)) return std::nullopt;
  ASSIGN_OR_RETURN(JsonObject part, from.Object(key));
  if (part.Keys().empty()) return std::nullopt;
  return part;
}

// Of the layers `layers` of a model whose local layers rotate differently.
absl::StatusOr<RopeFields> FieldsOf(const JsonObject& config, const char* layers,
                                    std::string_view theta_key, double theta) {
  RopeFields rope;
  ASSIGN_OR_RETURN(rope.theta, Theta(config, theta_key, theta));
  ASSIGN_OR_RETURN(const std::optional<JsonObject> both, Part(config, "rope_parameters"));
  if (!both.has_value()) return rope;
  if (!both->Has(kGlobalLayers) && !both->Has(kLocalLayers)) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.NameOf("rope_parameters"), " has neither ", kGlobalLayers, " nor ",
                     kLocalLayers, ", whose ropes differ in this model_type"));
  }
  ASSIGN_OR_RETURN(rope.fields, Part(*both, layers));
  if (rope.fields.has_value()) {
    ASSIGN_OR_RETURN(rope.theta, Theta(*rope.fields, "rope_theta", rope.theta));
  }
  return rope;
}

}  // namespace

absl::Status ReadHfRope(const JsonObject& config, double theta, double local_theta,
                        ModelSpec& spec) {
  ASSIGN_OR_RETURN(const double rotated, config.FloatOr("partial_rotary_factor", 1, 0, 1));
  if (rotated != 1) {
    return absl::UnimplementedError(absl::StrCat(config.NameOf("partial_rotary_factor"), " is ",
                                                 rotated, "; this build turns whole heads"));
  }
  ASSIGN_OR_RETURN(std::optional<JsonObject> scaling, Part(config, "rope_scaling"));
  if (local_theta > 0) {
    ASSIGN_OR_RETURN(RopeFields global, FieldsOf(config, kGlobalLayers, "rope_theta", theta));
    ASSIGN_OR_RETURN(const RopeFields local,
                     FieldsOf(config, kLocalLayers, "rope_local_base_freq", local_theta));
    if (scaling.has_value()) {
      ASSIGN_OR_RETURN(global.theta, Theta(*scaling, "rope_theta", global.theta));
      global.fields = std::move(scaling);
    }
    ASSIGN_OR_RETURN(spec.rope, ReadRope(config, global, spec));
    ASSIGN_OR_RETURN(spec.local_rope, ReadRope(config, local, spec));
    return absl::OkStatus();
  }
  RopeFields rope;
  ASSIGN_OR_RETURN(rope.theta, Theta(config, "rope_theta", theta));
  rope.fields = std::move(scaling);
  if (!rope.fields.has_value()) {
    ASSIGN_OR_RETURN(rope.fields, Part(config, "rope_parameters"));
  }
  if (rope.fields.has_value()) {
    if (rope.fields->IsObject(kGlobalLayers) || rope.fields->IsObject(kLocalLayers)) {
      return absl::UnimplementedError(
          absl::StrCat(rope.fields->NameOf(kGlobalLayers),
                       " asks for ropes by kind of layer, which this model_type doesn't have"));
    }
    ASSIGN_OR_RETURN(rope.theta, Theta(*rope.fields, "rope_theta", rope.theta));
  }
  ASSIGN_OR_RETURN(spec.rope, ReadRope(config, rope, spec));
  return absl::OkStatus();
}

}  // namespace spillway
