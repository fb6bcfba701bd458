#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "server/dialects/dialect_limits.h"
#include "server/dialects/json_fields.h"

namespace spillway {

using TextOrTokens = std::variant<std::string, std::vector<int32_t>>;

// The member `name`: a string, its token ids, or an array of up to `count_max` such. Empty, with an
// error in `reader`, when it is missing or unfit.
std::vector<TextOrTokens> ReadTextInputs(FieldReader& reader, const char* name, size_t count_max,
                                         const DialectLimits& limits);

}  // namespace spillway
