#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// value.name as Jinja looks it up: an attribute or method first, then an element. `name` is kept
// in the undefined value that a miss gives. INVALID_ARGUMENT: `value` is undefined.
absl::StatusOr<Value> GetAttribute(Interpreter& interpreter, const Value& value,
                                   const std::string& name);

// value[key]: an element first, then an attribute or method.
absl::StatusOr<Value> GetItem(Interpreter& interpreter, const Value& value, const Value& key);

// value[begin:end:step]; none where left out.
absl::StatusOr<Value> GetSlice(Interpreter& interpreter, const Value& value, const Value& begin,
                               const Value& end, const Value& step);

// The method `name` of a string, list or dict, bound to it; undefined when it has none.
Value FindMethod(Interpreter& interpreter, const Value& value, std::string_view name);

}  // namespace spillway::jinja
