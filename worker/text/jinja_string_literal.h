#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace spillway::jinja {

// What a string literal stands for, as Python's unicode-escape codec has it; `body` is what lies
// between its quotes. INVALID_ARGUMENT: a bad escape, or one of half a surrogate pair.
absl::StatusOr<std::string> DecodeStringLiteral(std::string_view body);

}  // namespace spillway::jinja
