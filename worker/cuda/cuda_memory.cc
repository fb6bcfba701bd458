#include "worker/cuda/cuda_memory.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/quantities.h"
#include "worker/cuda/cuda_kv_cache.h"
#include "worker/cuda/step_metadata.h"
#include "worker/kernels/numerics.h"
#include "worker/kernels/sampling_cuda.h"
#include "worker/kernels/token_scores_cuda.h"

namespace spillway {
namespace {

int64_t BlocksFor(int64_t tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

int64_t SequenceBytes(const ModelSpec& spec, const CudaDimensions& dimensions, int64_t tokens) {
  return BlocksFor(tokens) * CudaKvCache::BytesPerBlock(dimensions, spec.layer_count);
}

std::string OneSequence(int32_t tokens) {
  return absl::StrCat("one sequence of ", FormatCount(tokens), " tokens");
}

// What a model takes with sequences of `tokens`, one of them in KV.
struct Needs {
  int64_t weights = 0;
  int64_t step = 0;
  int64_t sequence = 0;

  int64_t all() const { return weights + step + sequence + kCudaReserveBytes; }
};

Needs NeedsOf(const ModelSpec& spec, const CudaDimensions& dimensions, int64_t weights_bytes,
              const CudaMemoryOptions& options, int32_t tokens) {
  return {.weights = weights_bytes,
          .step = CudaDecoder::BytesFor(spec, dimensions, DecoderLimitsFor(options, tokens)) +
                  CudaStepBytes(spec, options, tokens),
          .sequence = SequenceBytes(spec, dimensions, tokens)};
}

absl::Status DoesNotFit(const ModelSpec& spec, const Needs& needs, int32_t tokens,
                        int64_t used_bytes, const CudaMemoryOptions& options) {
  const int64_t left = options.limit_bytes - used_bytes;
  const int64_t missing = needs.all() - left;
  std::string remedies;
  if (options.sequence_tokens_max > kCudaSequenceTokensLeast) remedies += "a shorter --context, ";
  if (needs.step > missing) remedies += "a lower --step-tokens or --running-max, ";
  return absl::ResourceExhaustedError(absl::StrCat(
      spec.name, " needs ", FormatBytes(needs.all()),
      " of GPU memory: ", FormatBytes(needs.weights), " for weights, ", FormatBytes(needs.step),
      " for a step, ", FormatBytes(needs.sequence), " for the KV of ", OneSequence(tokens), " and ",
      FormatBytes(kCudaReserveBytes), " in reserve. There are ", FormatBytes(left), " (",
      options.limit_source, ", of which ", FormatBytes(used_bytes),
      " are in use): ", FormatBytes(missing), " are missing. What helps: ", remedies,
      "a higher --gpu-memory if the card has it, a smaller model or quantisation, or --device "
      "cpu"));
}

}  // namespace

CudaDecoderLimits DecoderLimitsFor(const CudaMemoryOptions& options, int32_t sequence_tokens_max) {
  const int32_t sequences = DecodeRowsBucket(options.running_max);
  return {.rows_max = std::max(options.step_tokens_max, sequences),
          .head_rows_max = sequences,
          .sequences_max = sequences,
          .positions_max = sequence_tokens_max};
}

int64_t CudaStepBytes(const ModelSpec& spec, const CudaMemoryOptions& options,
                      int32_t sequence_tokens_max) {
  const CudaDecoderLimits limits = DecoderLimitsFor(options, sequence_tokens_max);
  const int64_t vocabulary = spec.vocabulary_size;
  const int64_t metadata = StepMetadata::BytesMax({.rows_max = limits.rows_max,
                                                   .sequences_max = limits.sequences_max,
                                                   .positions_max = limits.positions_max,
                                                   .units_max = CudaDecoder::UnitsMax(limits)});
  const int64_t scores = int64_t{limits.rows_max} + limits.sequences_max;
  const int64_t each =
      vocabulary * static_cast<int64_t>(sizeof(float) + sizeof(uint32_t)) +
      SamplingBatch::PartialsPerRow(spec.vocabulary_size) * static_cast<int64_t>(sizeof(float)) +
      2 * static_cast<int64_t>(sizeof(int32_t));
  return metadata + limits.sequences_max * each +
         scores * static_cast<int64_t>(sizeof(ScoredToken)) + int64_t{4} * sequence_tokens_max;
}

absl::StatusOr<int32_t> PlanCudaContext(const ModelSpec& spec, const CudaDimensions& dimensions,
                                        int64_t weights_bytes, int64_t used_bytes,
                                        const CudaMemoryOptions& options) {
  const auto needs_of = [&](int32_t tokens) {
    return NeedsOf(spec, dimensions, weights_bytes, options, tokens);
  };
  const auto fits = [&](int32_t tokens) {
    return used_bytes + needs_of(tokens).all() <= options.limit_bytes;
  };
  const bool asked = options.sequence_tokens_max > 0;
  int32_t tokens = asked ? options.sequence_tokens_max : spec.context_tokens_max;
  if (!fits(tokens) && !asked) {
    // The longest that fits; what fits a sequence fits all shorter ones.
    int32_t fitting = 0;
    int32_t beyond = tokens;
    while (beyond - fitting > kKvBlockTokens) {
      const int32_t middle = fitting + (beyond - fitting) / 2;
      (fits(middle) ? fitting : beyond) = middle;
    }
    const int32_t least = std::min(kCudaSequenceTokensLeast, spec.context_tokens_max);
    tokens = std::max(fitting / kKvBlockTokens * kKvBlockTokens, least);
  }
  if (!fits(tokens)) return DoesNotFit(spec, needs_of(tokens), tokens, used_bytes, options);
  return tokens;
}

absl::StatusOr<ExecutorShape> PlanCudaKv(const ModelSpec& spec, const CudaDimensions& dimensions,
                                         int64_t used_bytes, int32_t sequence_tokens_max,
                                         const CudaMemoryOptions& options) {
  const int64_t block_bytes = CudaKvCache::BytesPerBlock(dimensions, spec.layer_count);
  const int64_t sequence_bytes = SequenceBytes(spec, dimensions, sequence_tokens_max);
  const int64_t left = options.limit_bytes - used_bytes - kCudaReserveBytes;
  const int64_t kv_bytes = options.kv_bytes > 0
                               ? options.kv_bytes
                               : std::min(left, sequence_bytes * options.running_max);
  if (kv_bytes < sequence_bytes || kv_bytes > left) {
    const int64_t needed = std::max(sequence_bytes, options.kv_bytes);
    const bool flag_decides = options.kv_bytes > 0 && options.kv_bytes < sequence_bytes;
    const int64_t missing = flag_decides ? sequence_bytes - options.kv_bytes : needed - left;
    return absl::ResourceExhaustedError(
        absl::StrCat("with ", spec.name, " loaded and its largest step run, ",
                     FormatBytes(std::max<int64_t>(left, 0)), " of GPU memory are left for KV (",
                     options.limit_source, ", ", FormatBytes(used_bytes), " in use)",
                     options.kv_bytes > 0
                         ? absl::StrCat(", --kv-memory asks for ", FormatBytes(options.kv_bytes))
                         : "",
                     "; ", OneSequence(sequence_tokens_max), " needs ", FormatBytes(sequence_bytes),
                     ": ", FormatBytes(missing), " are missing. What helps: ",
                     flag_decides ? "more --kv-memory, " : "a higher --gpu-memory, ",
                     "a shorter --context, or a lower --step-tokens"));
  }
  const int64_t block_count =
      std::min<int64_t>(kv_bytes / block_bytes, std::numeric_limits<int32_t>::max());
  CHECK(block_count >= BlocksFor(sequence_tokens_max));
  return ExecutorShape{.running_max = options.running_max,
                       .step_tokens_max = options.step_tokens_max,
                       .block_tokens = kKvBlockTokens,
                       .block_count = static_cast<int32_t>(block_count),
                       .sequence_tokens_max = sequence_tokens_max,
                       .vocabulary_size = spec.vocabulary_size,
                       .kv_bytes = block_count * block_bytes};
}

}  // namespace spillway
