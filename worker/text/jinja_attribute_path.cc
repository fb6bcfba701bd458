#include "worker/text/jinja_attribute_path.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "worker/text/jinja_access.h"
#include "worker/text/jinja_interpreter.h"
#include "worker/text/jinja_strings.h"

namespace spillway::jinja {

absl::StatusOr<AttributePath> AttributePath::Parse(Interpreter& interpreter,
                                                   const Value& attribute) {
  AttributePath path;
  if (attribute.is_none()) return path;
  if (attribute.AsInteger()) {
    path.keys_.push_back(attribute);
    return path;
  }
  if (attribute.string() == nullptr) {
    return absl::InvalidArgumentError("an attribute's name is no string");
  }
  const Text dot = Text::Trusted(".");
  ASSIGN_OR_RETURN(const std::vector<Text> parts,
                   Split(*attribute.string(), &dot, -1, false, interpreter.budget()));
  for (const Text& part : parts) {
    int64_t index = 0;
    const std::string text(part.view());
    const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    if (digits && absl::SimpleAtoi(text, &index)) {
      path.keys_.push_back(Value::Int(index));
    } else {
      path.keys_.push_back(interpreter.heap().NewString(part));
    }
  }
  return path;
}

absl::StatusOr<Value> AttributePath::Follow(Interpreter& interpreter, const Value& value,
                                            const Value* otherwise) const {
  Value at = value;
  interpreter.budget().Charge(1);
  for (const Value& key : keys_) {
    ASSIGN_OR_RETURN(at, GetItem(interpreter, at, key));
    if (at.is_undefined() && otherwise != nullptr) at = *otherwise;
  }
  return at;
}

absl::StatusOr<Value> SortKey(Interpreter& interpreter, const AttributePath& path,
                              const Value& value, bool case_sensitive) {
  ASSIGN_OR_RETURN(const Value key, path.Follow(interpreter, value));
  if (case_sensitive || key.string() == nullptr) return key;
  TextBuilder out(interpreter.heap());
  ChangeCase(*key.string(), Case::kLower, out);
  return out.Finish();
}

}  // namespace spillway::jinja
