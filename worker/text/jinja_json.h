#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// A JSON text as values that are all untrusted. Of a repeated key the last value counts, as in
// Python. INVALID_ARGUMENT: no JSON, or nested deeper than `depth_max`. RESOURCE_EXHAUSTED: more
// values than the heap's budget has.
absl::StatusOr<Value> ParseJson(std::string_view json, int depth_max, Heap& heap);

}  // namespace spillway::jinja
