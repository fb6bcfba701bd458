#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_ast.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

// What Python's operators do with values. INVALID_ARGUMENT where Python raises.

namespace spillway::jinja {

// "'name' is undefined".
absl::Status UndefinedError(const Value& value);

// "unhashable type: 'list'".
absl::Status NotHashable(const Value& value);

// ==, which never raises. Values nested deeper than a limit are different.
bool Equals(const Value& left, const Value& right, Budget& budget, int depth = 0);

// <, of two numbers, two strings or two lists.
absl::StatusOr<bool> Less(const Value& left, const Value& right, Budget& budget, int depth = 0);

// in.
absl::StatusOr<bool> Contains(const Value& container, const Value& element, Budget& budget);

// One of the comparing operators.
absl::StatusOr<bool> Compare(Operator op, const Value& left, const Value& right, Budget& budget);

// One of the operators that compute.
absl::StatusOr<Value> Compute(Operator op, const Value& left, const Value& right, Heap& heap);

// The elements that a loop over `value` sees. A generator is used up by it.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value, Heap& heap);

// len(). The code points of a string.
absl::StatusOr<int64_t> Length(const Value& value);

}  // namespace spillway::jinja
