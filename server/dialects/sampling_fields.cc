#include "server/dialects/sampling_fields.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace spillway {

void ReadSamplingFields(FieldReader& reader, SamplingOptions& sampling) {
  if (const auto value = reader.Number("temperature", 0, 2)) {
    sampling.temperature = static_cast<float>(*value);
  }
  if (const auto value = reader.Number("top_p", 0, 1)) {
    // Clients take 0 for "only the likeliest token"; the worker's range begins above it.
    sampling.top_p = std::max(static_cast<float>(*value), 1e-6f);
  }
  if (const auto value = reader.Integer("top_k", -1, std::numeric_limits<int32_t>::max())) {
    sampling.top_k = static_cast<int32_t>(std::max<int64_t>(*value, 0));
  }
}

}  // namespace spillway
