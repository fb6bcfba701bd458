#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// The indices of the keys in their order, smallest first, equal ones as they were.
// INVALID_ARGUMENT: two that Python doesn't compare.
absl::StatusOr<std::vector<size_t>> SortedOrder(const std::vector<Value>& keys, bool reverse,
                                                Budget& budget);

}  // namespace spillway::jinja
