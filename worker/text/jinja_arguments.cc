#include "worker/text/jinja_arguments.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace spillway::jinja {

absl::StatusOr<BoundArguments> BoundArguments::Bind(
    std::string_view callee, const Arguments& arguments,
    std::initializer_list<std::string_view> parameters, size_t required) {
  BoundArguments bound;
  bound.callee_ = callee;
  bound.names_ = parameters;
  bound.values_.resize(parameters.size());
  if (arguments.positional.size() > parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat(bound.callee_, "() takes at most ",
                                                   parameters.size(), " arguments, got ",
                                                   arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound.values_[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(bound.names_.begin(), bound.names_.end(), name);
    const auto index = static_cast<size_t>(found - bound.names_.begin());
    if (found == bound.names_.end() || bound.values_[index] != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(bound.callee_, "() has no use for the argument '", name, "'"));
    }
    bound.values_[index] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound.has(i)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(bound.callee_, "() needs the argument '", std::string(bound.names_[i]), "'"));
  }
  return bound;
}

absl::StatusOr<BoundArguments> BoundArguments::BindPositional(
    std::string_view callee, const Arguments& arguments,
    std::initializer_list<std::string_view> parameters, size_t required) {
  if (!arguments.named.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(callee), "() takes no keyword arguments"));
  }
  return Bind(callee, arguments, parameters, required);
}

absl::StatusOr<int64_t> BoundArguments::GetInteger(size_t parameter, int64_t otherwise) const {
  if (!has(parameter)) return otherwise;
  if (const auto value = values_[parameter]->AsInteger()) return *value;
  return absl::InvalidArgumentError(absl::StrCat(callee_, "(): '", std::string(names_[parameter]),
                                                 "' is no integer but ",
                                                 values_[parameter]->TypeName()));
}

absl::StatusOr<const Text*> BoundArguments::GetText(size_t parameter) const {
  const Text* const text = has(parameter) ? values_[parameter]->string() : nullptr;
  if (text != nullptr) return text;
  return absl::InvalidArgumentError(
      absl::StrCat(callee_, "(): '", std::string(names_[parameter]), "' is no string but ",
                   has(parameter) ? values_[parameter]->TypeName() : "missing"));
}

}  // namespace spillway::jinja
