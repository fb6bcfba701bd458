#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/jinja_value.h"

namespace spillway::jinja {

// The arguments of one call, bound to the parameters of what is called as Python binds them.
class BoundArguments {
 public:
  // Fails when an argument has no parameter, or one of the first `required` parameters no argument.
  // `arguments` outlives it.
  static absl::StatusOr<BoundArguments> Bind(std::string_view callee, const Arguments& arguments,
                                             std::initializer_list<std::string_view> parameters,
                                             size_t required = 0);

  // Of a function that takes no arguments by name.
  static absl::StatusOr<BoundArguments> BindPositional(
      std::string_view callee, const Arguments& arguments,
      std::initializer_list<std::string_view> parameters, size_t required = 0);

  bool has(size_t parameter) const { return values_[parameter] != nullptr; }
  // Requires has().
  const Value& operator[](size_t parameter) const { return *values_[parameter]; }
  Value Get(size_t parameter, const Value& otherwise) const {
    return has(parameter) ? *values_[parameter] : otherwise;
  }
  bool GetBool(size_t parameter, bool otherwise) const {
    return has(parameter) ? values_[parameter]->IsTrue() : otherwise;
  }
  // INVALID_ARGUMENT: given, but no integer.
  absl::StatusOr<int64_t> GetInteger(size_t parameter, int64_t otherwise) const;
  // INVALID_ARGUMENT: not given, or no string.
  absl::StatusOr<const Text*> GetText(size_t parameter) const;

 private:
  std::string callee_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

}  // namespace spillway::jinja
