#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace spillway {

// What a settings file of a model may ask of us. The largest that we know is the index of a mixture
// of experts, some 5 MB.
struct JsonLimits {
  static constexpr size_t kBytesMax = 16 << 20;
  static constexpr int kDepthMax = 32;
};

// An object of a JSON file, read field by field, each with its type and range. A field that is null
// counts as missing, as Python's libraries write it.
//
// Every error is INVALID_ARGUMENT and names file, field, what is there and what may be.
// Immutable, cheap to copy; copies and parts keep the document alive.
class JsonObject {
 public:
  // `file` stands in messages: "config.json".
  static absl::StatusOr<JsonObject> Parse(std::string_view text, std::string_view file);
  // Of a file that is an array of objects.
  static absl::StatusOr<std::vector<JsonObject>> ParseArray(std::string_view text,
                                                            std::string_view file);

  bool Has(std::string_view key) const;
  bool IsNull(std::string_view key) const;  // there, and null
  bool IsString(std::string_view key) const;
  bool IsObject(std::string_view key) const;
  std::vector<std::string> Keys() const;

  // In [low, high]. Without the field: an error, or `otherwise`.
  absl::StatusOr<int64_t> Int(std::string_view key, int64_t low, int64_t high) const;
  absl::StatusOr<int64_t> IntOr(std::string_view key, int64_t otherwise, int64_t low,
                                int64_t high) const;
  absl::StatusOr<double> Float(std::string_view key, double low, double high) const;
  absl::StatusOr<double> FloatOr(std::string_view key, double otherwise, double low,
                                 double high) const;
  absl::StatusOr<bool> BoolOr(std::string_view key, bool otherwise) const;
  absl::StatusOr<std::string> String(std::string_view key) const;
  absl::StatusOr<std::string> StringOr(std::string_view key, std::string_view otherwise) const;
  absl::StatusOr<JsonObject> Object(std::string_view key) const;
  absl::StatusOr<std::vector<JsonObject>> Objects(std::string_view key) const;
  absl::StatusOr<std::vector<std::string>> Strings(std::string_view key) const;
  // One number counts as a list of it.
  absl::StatusOr<std::vector<int64_t>> Ints(std::string_view key, int64_t low, int64_t high) const;

  // "config.json: rope_scaling.factor", to begin a message with.
  std::string NameOf(std::string_view key) const;

 private:
  struct Node;
  explicit JsonObject(std::shared_ptr<const Node> node);

  absl::Status Missing(std::string_view key) const;
  absl::Status WrongType(std::string_view key, std::string_view wanted) const;

  std::shared_ptr<const Node> node_;
};

}  // namespace spillway
