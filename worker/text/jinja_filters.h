#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

using Filter = absl::StatusOr<Value> (*)(Interpreter& interpreter, const Value& input,
                                         const Arguments& arguments);
struct FilterEntry {
  std::string_view name;
  Filter apply;
};

// Null: no such filter.
const FilterEntry* FindFilter(std::string_view name);

}  // namespace spillway::jinja
