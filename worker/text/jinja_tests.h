#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

using Test = absl::StatusOr<bool> (*)(Interpreter& interpreter, const Value& value,
                                      const Arguments& arguments);
struct TestEntry {
  std::string_view name;
  Test apply;
};

// Null: no such test.
const TestEntry* FindTest(std::string_view name);

}  // namespace spillway::jinja
