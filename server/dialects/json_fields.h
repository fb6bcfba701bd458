#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace spillway {

// Nesting deeper than this is refused before parsing: some of the code that walks JSON recurses.
constexpr int kJsonDepthMax = 64;

// How deep brackets nest in `text`, which need not be valid JSON.
int JsonDepth(std::string_view text);

// INVALID_ARGUMENT, with a message for people, unless `text` is a JSON object.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text);

// Why a request's field is unfit.
struct FieldError {
  std::string param;  // "temperature", "messages[2].content"
  std::string message;
};

// Reads the members of a JSON object by type and range, remembering the first that is unfit: read
// all, then ask error(). null counts as absent, since clients send it for what they left out.
//
// The object must outlive the reader.
class FieldReader {
 public:
  explicit FieldReader(const nlohmann::json& object) : object_(object) {}

  const nlohmann::json* Find(const char* name) const;  // nullptr when absent or null

  std::optional<bool> Bool(const char* name);
  std::optional<std::string> String(const char* name);
  std::optional<double> Number(const char* name, double min, double max);
  // Integral floats ("max_tokens": 512.0) count as integers.
  std::optional<int64_t> Integer(const char* name, int64_t min, int64_t max);

  void Fail(std::string param, std::string message);
  const std::optional<FieldError>& error() const { return error_; }

 private:
  const nlohmann::json& object_;
  std::optional<FieldError> error_;
};

// A value as an error message shows it: its JSON, cut short.
std::string ShowJson(const nlohmann::json& value);

// The text of `value`, which is the member `name` of the object that `text` is: as it stands there,
// so that spelling and the order of keys are kept. Where it can't be found (escapes in names, which
// nobody writes) it is spelled anew, and keys are sorted.
std::string SliceOrDump(std::string_view text, std::string_view name, const nlohmann::json& value);

// An integer of any JSON number that is one, within int64.
std::optional<int64_t> AsInteger(const nlohmann::json& value);

}  // namespace spillway
