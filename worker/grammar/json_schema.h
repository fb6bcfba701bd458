#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace spillway {

struct JsonSchemaLimits {
  size_t bytes_max = 128u << 10;
  int depth_max = 64;
  int schemas_max = 4000;          // subschemas, all together
  int64_t repetitions_max = 4096;  // minLength, maxLength, minItems, maxItems
};

// A JSON Schema as XGrammar's converter reads it right. What it would pass over in silence is
// refused: a keyword that it doesn't know and that would rule outputs out, or one that it ignores
// where it stands beside another. Some things are changed: objects with `properties` get no others
// unless the schema says which; what is `required` is among the properties; strings with a length
// become a pattern of characters that need no escape.
//
// Keywords that only tell (title, description, default, examples, $schema, …), and those that no
// draft has, are passed over, as JSON Schema wants it.
//
// INVALID_ARGUMENT names the keyword and where it stands ("$.properties.a: uniqueItems …").
absl::StatusOr<std::string> PrepareJsonSchema(std::string_view schema,
                                              const JsonSchemaLimits& limits = {});

}  // namespace spillway
