#include "worker/model/gguf_keys.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

template <typename T>
absl::Status OutOfRange(const std::string& key, T value, T low, T high) {
  return absl::InvalidArgumentError(
      absl::StrCat("GGUF: ", key, " is ", value, ", beyond ", low, " to ", high));
}

}  // namespace

std::vector<std::string_view> GgufKeys::WithPrefix(std::string_view prefix) const {
  std::vector<std::string_view> keys = file_.KeysWithPrefix(Full(prefix));
  for (std::string_view& key : keys) key.remove_prefix(prefix_.size());
  return keys;
}

absl::Status GgufKeys::Require(std::string_view key) const {
  if (Has(key)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("GGUF: the file has no ", Full(key)));
}

absl::StatusOr<int32_t> GgufKeys::Int(std::string_view key, int32_t low, int32_t high) const {
  RETURN_IF_ERROR(Require(key));
  ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(Full(key)));
  if (value < low || value > high) return OutOfRange<int64_t>(Full(key), value, low, high);
  return static_cast<int32_t>(value);
}

absl::StatusOr<int32_t> GgufKeys::IntOr(std::string_view key, int32_t otherwise, int32_t low,
                                        int32_t high) const {
  if (Has(key)) return Int(key, low, high);
  return otherwise;
}

absl::StatusOr<double> GgufKeys::Float(std::string_view key, double low, double high) const {
  RETURN_IF_ERROR(Require(key));
  ASSIGN_OR_RETURN(const double value, file_.GetFloat(Full(key)));
  if (!(value >= low && value <= high)) return OutOfRange(Full(key), value, low, high);
  return value;
}

absl::StatusOr<double> GgufKeys::FloatOr(std::string_view key, double otherwise, double low,
                                         double high) const {
  if (Has(key)) return Float(key, low, high);
  return otherwise;
}

absl::StatusOr<std::string_view> GgufKeys::StringOr(std::string_view key,
                                                    std::string_view otherwise) const {
  if (Has(key)) return file_.GetString(Full(key));
  return otherwise;
}

absl::Status GgufKeys::RequireNeutral(std::string_view key, double neutral) const {
  if (!Has(key)) return absl::OkStatus();
  double value;
  if (const auto number = file_.GetInt(Full(key)); number.ok()) {
    value = static_cast<double>(*number);
  } else if (const auto flag = file_.GetBool(Full(key)); flag.ok()) {
    value = *flag ? 1.0 : 0.0;
  } else {
    ASSIGN_OR_RETURN(value, file_.GetFloat(Full(key)));
  }
  if (value == neutral) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("GGUF: ", Full(key), " is ", value,
                                               "; this build runs models with ", neutral,
                                               " or without it"));
}

}  // namespace spillway
