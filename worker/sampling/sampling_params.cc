#include "worker/sampling/sampling_params.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

absl::Status OutOfRange(const char* field, double value, const char* range) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ", not in ", range));
}

absl::Status ValidateLogitBias(const std::vector<std::pair<TokenId, float>>& logit_bias,
                               int32_t vocabulary_size) {
  if (logit_bias.size() > SamplingParams::kLogitBiasMax) {
    return absl::InvalidArgumentError(absl::StrCat("logit_bias has ", logit_bias.size(),
                                                   " entries, beyond the limit of ",
                                                   SamplingParams::kLogitBiasMax));
  }
  std::vector<TokenId> tokens;
  for (const auto& [token, bias] : logit_bias) {
    if (token < 0 || token >= vocabulary_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias has token ", token, ", beyond 0 to ", vocabulary_size - 1));
    }
    if (!(bias >= -100 && bias <= 100)) {
      return OutOfRange(absl::StrCat("logit_bias of token ", token).c_str(), bias, "[-100, 100]");
    }
    tokens.push_back(token);
  }
  std::sort(tokens.begin(), tokens.end());
  const auto repeated = std::adjacent_find(tokens.begin(), tokens.end());
  if (repeated != tokens.end()) {
    return absl::InvalidArgumentError(absl::StrCat("logit_bias has token ", *repeated, " twice"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SamplingParams::Validate(int32_t vocabulary_size) const {
  // Each condition is written so that NaN fails it.
  if (!(temperature >= 0 && temperature <= 100)) {
    return OutOfRange("temperature", temperature, "[0, 100]");
  }
  if (!(top_p > 0 && top_p <= 1)) return OutOfRange("top_p", top_p, "(0, 1]");
  if (top_k < 0) return OutOfRange("top_k", top_k, "[0, 2147483647]");
  if (!(min_p >= 0 && min_p < 1)) return OutOfRange("min_p", min_p, "[0, 1)");
  if (!(presence_penalty >= -2 && presence_penalty <= 2)) {
    return OutOfRange("presence_penalty", presence_penalty, "[-2, 2]");
  }
  if (!(frequency_penalty >= -2 && frequency_penalty <= 2)) {
    return OutOfRange("frequency_penalty", frequency_penalty, "[-2, 2]");
  }
  if (!(repetition_penalty >= 0.01f && repetition_penalty <= 100)) {
    return OutOfRange("repetition_penalty", repetition_penalty, "[0.01, 100]");
  }
  if (top_logprobs < -1 || top_logprobs > kTopLogprobsMax) {
    return OutOfRange("top_logprobs", top_logprobs, "[-1, 20]");
  }
  return ValidateLogitBias(logit_bias, vocabulary_size);
}

}  // namespace spillway
