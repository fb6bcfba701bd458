#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// What filters' `attribute` names: "a.b.0" is the element 0 of the element b of the element a.
class AttributePath {
 public:
  // `attribute`: a string or an integer; none: the value itself.
  static absl::StatusOr<AttributePath> Parse(Interpreter& interpreter, const Value& attribute);

  // What it leads to from `value`, with `otherwise` (if not null) where it leads nowhere.
  absl::StatusOr<Value> Follow(Interpreter& interpreter, const Value& value,
                               const Value* otherwise = nullptr) const;

 private:
  std::vector<Value> keys_;
};

// What `sort` and its like compare: the value at the path, strings in lower case unless
// `case_sensitive`.
absl::StatusOr<Value> SortKey(Interpreter& interpreter, const AttributePath& path,
                              const Value& value, bool case_sensitive);

}  // namespace spillway::jinja
