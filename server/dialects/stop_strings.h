#pragma once

#include <string>
#include <vector>

#include "server/dialects/dialect_limits.h"
#include "server/dialects/json_fields.h"

namespace spillway {

// Adds the strings of the member `name`, one or an array, to `stop_strings`; an error is left in
// `reader`. Empty ones are left out: they'd stop before the first token, and clients send them for
// "none".
void ReadStopStrings(FieldReader& reader, const char* name, const DialectLimits& limits,
                     std::vector<std::string>& stop_strings);

}  // namespace spillway
