#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/gguf.h"

namespace spillway {

// The hyper-parameters of a GGUF file, "ARCHITECTURE.key": each read within a range.
// INVALID_ARGUMENT names a key that is missing, of a wrong type or out of its range. Borrows the
// file.
class GgufKeys {
 public:
  GgufKeys(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  const GgufFile& file() const { return file_; }
  std::string Full(std::string_view key) const { return prefix_ + std::string(key); }
  bool Has(std::string_view key) const { return file_.Has(Full(key)); }
  // Without "ARCHITECTURE.", sorted.
  std::vector<std::string_view> WithPrefix(std::string_view prefix) const;

  // In [low, high].
  absl::StatusOr<int32_t> Int(std::string_view key, int32_t low, int32_t high) const;
  absl::StatusOr<int32_t> IntOr(std::string_view key, int32_t otherwise, int32_t low,
                                int32_t high) const;
  // In [low, high], and so finite.
  absl::StatusOr<double> Float(std::string_view key, double low, double high) const;
  absl::StatusOr<double> FloatOr(std::string_view key, double otherwise, double low,
                                 double high) const;
  absl::StatusOr<std::string_view> StringOr(std::string_view key, std::string_view otherwise) const;

  // Refuses a key (UNIMPLEMENTED) that has another value than the one at which it does nothing,
  // whether integer, float or bool.
  absl::Status RequireNeutral(std::string_view key, double neutral) const;

 private:
  absl::Status Require(std::string_view key) const;

  const GgufFile& file_;
  const std::string prefix_;
};

}  // namespace spillway
