#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

using Method = absl::StatusOr<Value> (*)(Interpreter& interpreter, const Value& self,
                                         const Arguments& arguments);

// The method `name` of Python's str, list or dict; null when the value's type has none.
Method MethodOf(const Value& value, std::string_view name);

// Whether `name` is a method that would change the list or dict: it is undefined, even where the
// dict has such a key.
bool IsRefusedAttribute(const Value& value, std::string_view name);

// Of the three types, each in its own file; those that search strings in another.
Method StringMethod(std::string_view name);
Method StringSearchMethod(std::string_view name);
Method ListMethod(std::string_view name);
Method DictMethod(std::string_view name);

}  // namespace spillway::jinja
