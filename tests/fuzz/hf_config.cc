// Any bytes as a config.json: it is refused, or gives a model whose numbers are within their
// limits.
#include "worker/model/hf_config.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "worker/model/json_object.h"
#include "worker/model/model_spec.h"

namespace {

void CheckRope(const spillway::Rope& rope, int32_t size) {
  CHECK(rope.frequencies.size() == static_cast<size_t>(size) / 2);
  CHECK(std::isfinite(rope.magnitude));
  for (const double frequency : rope.frequencies) CHECK(std::isfinite(frequency));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = spillway::JsonObject::Parse(text, "config.json");
  if (!config.ok()) {
    CHECK(!config.status().message().empty());
    return 0;
  }
  const auto spec = spillway::ModelSpecFromHfConfig(*config);
  if (!spec.ok()) {
    CHECK(!spec.status().message().empty());
    return 0;
  }
  using Limits = spillway::ModelSpecLimits;
  CHECK(spec->layer_count > 0 && spec->layer_count <= Limits::kLayersMax);
  CHECK(spec->head_count % spec->kv_head_count == 0);
  CHECK(spec->head_size > 0 && spec->head_size <= Limits::kHeadSizeMax);
  CHECK(spec->context_tokens_max > 0 && spec->context_tokens_max <= Limits::kContextTokensMax);
  CHECK(spec->local_layers.empty() ||
        spec->local_layers.size() == static_cast<size_t>(spec->layer_count));
  CheckRope(spec->rope, spec->rope_size);
  if (!spec->local_rope.frequencies.empty()) CheckRope(spec->local_rope, spec->rope_size);
  return 0;
}
