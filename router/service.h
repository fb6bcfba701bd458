#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace spillway {

// A model's name as it is compared: lower case, spaces and underscores as dashes, without the
// owner that Hugging Face puts before it ("HuggingFaceTB/") and the ":latest" of Ollama.
std::string ServiceAlias(std::string_view model);

// The service that a client's `model` means: the one of that very name, else the one with the same
// alias; the first when `model` is empty.
//
// Requires `services` not empty. NOT_FOUND names those that there are.
absl::StatusOr<std::string> ResolveService(std::string_view model,
                                           std::span<const std::string> services);

// Whether a request that was sent to `service` may name `model`.
//
// NOT_FOUND names the service's own.
absl::Status CheckModelOfService(std::string_view model, std::string_view service);

}  // namespace spillway
