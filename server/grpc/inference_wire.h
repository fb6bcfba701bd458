#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "router/generate_request.h"
#include "router/router.h"
#include "server/dialects/dialect_limits.h"

namespace spillway::v1 {
class GenerateEvent;
class GenerateRequest;
class ListModelsReply;
}  // namespace spillway::v1

namespace spillway {

// Between proto/inference.proto and the router's own words.

// INVALID_ARGUMENT names the field, its value and the limit. Ranges of sampling parameters are the
// worker's to check, as for every dialect.
absl::StatusOr<GenerateRequest> GenerateRequestFromWire(const v1::GenerateRequest& wire,
                                                        const DialectLimits& limits);

void DeltaToWire(int32_t choice, const OutputDelta& delta, v1::GenerateEvent& event);
void FinishedToWire(int32_t choice, FinishReason reason, const Usage& usage,
                    v1::GenerateEvent& event);
void ModelsToWire(const std::vector<ModelInfo>& models, v1::ListModelsReply& reply);

}  // namespace spillway
