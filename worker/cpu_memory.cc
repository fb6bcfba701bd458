#include "worker/cpu_memory.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/quantities.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/numerics.h"
#include "worker/model/kv_cache.h"

namespace spillway {
namespace {

// SmolLM2's worker was seen to take 35 MiB beside weights, activations and KV (x86-64, 49,152
// tokens in the vocabulary); vocabularies three times as large are usual.
constexpr int64_t kProcessBytes = int64_t{96} << 20;

// Of what the KV memory may have: the rest is for what this can't foresee.
constexpr double kKvShare = 0.8;

// A sampler's and a scorer's scratch for each token of the vocabulary (worker/sampling/sampler.h,
// penalties.h, logprob_scorer.h).
constexpr int64_t kSamplingBytesPerToken = 48;

// An activation that both integer and float matrices read: f32, and 8 bits with the factors.
constexpr double kInputBytes = 5.5;

int64_t ActivationsOf(const ModelSpec& spec, const CpuMemoryOptions& options,
                      int32_t sequence_tokens_max) {
  const int64_t query_size = int64_t{spec.head_count} * spec.head_size;
  const int64_t kv_size = int64_t{spec.kv_head_count} * spec.head_size;
  const double inputs = kInputBytes * static_cast<double>(2 * int64_t{spec.hidden_size} +
                                                          query_size + spec.intermediate_size);
  const int64_t rope_kinds = spec.local_layers.empty() ? 1 : 2;
  const int64_t branch = spec.post_norms ? spec.hidden_size : 0;
  const int64_t floats = 2 * int64_t{spec.hidden_size} + 2 * query_size + 2 * kv_size + branch +
                         rope_kinds * spec.rope_size;
  const auto per_token = static_cast<int64_t>(inputs) + 4 * floats;
  const int64_t splits =
      sequence_tokens_max / (int64_t{kAttentionSplitBlocks} * kKvBlockTokens) + 1;
  const int64_t states = splits * spec.head_count * AttentionStateSize(spec.head_size);
  const int64_t per_row = 4 * (states + spec.vocabulary_size);
  return options.step_tokens_max * per_token + options.running_max * per_row +
         options.threads * kSamplingBytesPerToken * spec.vocabulary_size;
}

int64_t BlocksFor(int64_t tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

int64_t FixedBytes(const CpuMemoryNeeds& needs) {
  return needs.weights_bytes + needs.activations_bytes + needs.process_bytes;
}

// Whether sequences of `tokens` are possible, and with how much KV memory.
struct Fit {
  CpuMemoryNeeds needs;
  int64_t kv_bytes = 0;        // that there is
  int64_t sequence_bytes = 0;  // that one sequence needs
  bool fits = false;
};

Fit FitOf(const ModelSpec& spec, int64_t weights_bytes, const CpuMemoryOptions& options,
          int32_t tokens) {
  Fit fit = {.needs = CpuMemoryNeedsOf(spec, weights_bytes, options, tokens)};
  fit.sequence_bytes = BlocksFor(tokens) * fit.needs.block_bytes;
  const bool unlimited = options.memory_bytes <= 0;
  const int64_t left = options.memory_bytes - FixedBytes(fit.needs);
  if (options.kv_bytes > 0) {
    fit.kv_bytes = options.kv_bytes;
    fit.fits = fit.sequence_bytes <= fit.kv_bytes && (unlimited || fit.kv_bytes <= left);
    return fit;
  }
  const int64_t wanted = fit.sequence_bytes * options.running_max;
  fit.kv_bytes = unlimited
                     ? wanted
                     : std::min(wanted, static_cast<int64_t>(kKvShare * static_cast<double>(left)));
  fit.fits = fit.sequence_bytes <= fit.kv_bytes;
  return fit;
}

// Why a model doesn't fit with sequences of `tokens`, and what would help.
absl::Status DoesNotFit(const ModelSpec& spec, const CpuMemoryOptions& options, int32_t tokens,
                        const Fit& fit) {
  const std::string one_sequence = absl::StrCat("one sequence of ", FormatCount(tokens), " tokens");
  const bool too_small_kv = options.kv_bytes > 0 && fit.sequence_bytes > options.kv_bytes;
  if (too_small_kv) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the KV memory of ", FormatBytes(options.kv_bytes), " holds ",
                     FormatCount(options.kv_bytes / fit.needs.block_bytes * kKvBlockTokens),
                     " tokens; ", one_sequence, " needs ", FormatBytes(fit.sequence_bytes), ": ",
                     FormatBytes(fit.sequence_bytes - options.kv_bytes),
                     " are missing. What helps: more --kv-memory, or a shorter --context"));
  }
  const int64_t kv_bytes =
      options.kv_bytes > 0
          ? options.kv_bytes
          : static_cast<int64_t>(static_cast<double>(fit.sequence_bytes) / kKvShare);
  const int64_t needed = FixedBytes(fit.needs) + kv_bytes;
  const int64_t missing = needed - options.memory_bytes;
  const bool kv_decides = options.kv_bytes > 0 && options.kv_bytes > fit.sequence_bytes;
  std::string remedies;
  if (kv_decides) remedies = "less --kv-memory, ";
  if (options.sequence_tokens_max > kSequenceTokensLeast) remedies += "a shorter --context, ";
  if (fit.needs.activations_bytes > missing) {
    remedies += "a lower --step-tokens or --running-max, ";
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      spec.name, " needs ", FormatBytes(needed),
      " of memory: ", FormatBytes(fit.needs.weights_bytes), " for weights, ",
      FormatBytes(fit.needs.activations_bytes), " for activations, ",
      FormatBytes(fit.needs.process_bytes), " for the process and ", FormatBytes(kv_bytes),
      options.kv_bytes > 0 ? " for KV (--kv-memory)"
                           : absl::StrCat(" for the KV of ", one_sequence),
      ". There are ", FormatBytes(options.memory_bytes), " (", options.memory_source,
      "): ", FormatBytes(missing), " are missing. What helps: ", remedies,
      "a smaller model or quantisation, or more memory (--memory says how much there is)"));
}

}  // namespace

CpuMemoryNeeds CpuMemoryNeedsOf(const ModelSpec& spec, int64_t weights_bytes,
                                const CpuMemoryOptions& options, int32_t sequence_tokens_max) {
  return {.weights_bytes = weights_bytes,
          .activations_bytes = ActivationsOf(spec, options, sequence_tokens_max),
          .process_bytes = kProcessBytes,
          .block_bytes = KvCache::BytesPerBlock(spec)};
}

absl::StatusOr<ExecutorShape> PlanCpuMemory(const ModelSpec& spec, int64_t weights_bytes,
                                            const CpuMemoryOptions& options) {
  const bool asked = options.sequence_tokens_max > 0;
  int32_t tokens = asked ? options.sequence_tokens_max : spec.context_tokens_max;
  Fit fit = FitOf(spec, weights_bytes, options, tokens);
  if (!fit.fits && !asked) {
    // The longest that fits; what fits a sequence fits all shorter ones.
    int32_t fitting = 0;
    int32_t beyond = tokens;
    while (beyond - fitting > kKvBlockTokens) {
      const int32_t middle = fitting + (beyond - fitting) / 2;
      (FitOf(spec, weights_bytes, options, middle).fits ? fitting : beyond) = middle;
    }
    const int32_t least = std::min(kSequenceTokensLeast, spec.context_tokens_max);
    tokens = std::max(fitting / kKvBlockTokens * kKvBlockTokens, least);
    fit = FitOf(spec, weights_bytes, options, tokens);
  }
  if (!fit.fits) return DoesNotFit(spec, options, tokens, fit);
  const int64_t block_count =
      std::min<int64_t>(fit.kv_bytes / fit.needs.block_bytes, std::numeric_limits<int32_t>::max());
  CHECK(block_count >= BlocksFor(tokens));
  return ExecutorShape{.running_max = options.running_max,
                       .step_tokens_max = options.step_tokens_max,
                       .block_tokens = kKvBlockTokens,
                       .block_count = static_cast<int32_t>(block_count),
                       .sequence_tokens_max = tokens,
                       .vocabulary_size = spec.vocabulary_size,
                       .kv_bytes = block_count * fit.needs.block_bytes};
}

}  // namespace spillway
