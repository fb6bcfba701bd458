#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/jinja_ast.h"

namespace spillway::jinja {

// Parses a template. Blocks and expressions may be nested up to `depth_max`, chains of operators
// counted. INVALID_ARGUMENT names the line and what is wrong there or unknown: a filter, a test,
// a statement. Requires valid UTF-8.
absl::StatusOr<Block> ParseTemplate(std::string_view source, int depth_max);

}  // namespace spillway::jinja
