#include "server/dialects/model_capabilities.h"

namespace spillway {

std::string_view CapabilitiesJson(const ModelInfo& model) {
  if (model.embedding_size > 0) return R"(["embedding"])";
  if (model.takes_tools && model.has_reasoning) return R"(["completion","tools","thinking"])";
  if (model.takes_tools) return R"(["completion","tools"])";
  if (model.has_reasoning) return R"(["completion","thinking"])";
  return R"(["completion"])";
}

}  // namespace spillway
