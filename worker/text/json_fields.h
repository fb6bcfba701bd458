#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spillway {

// A value of a JSON document and the way to it ("model.vocab"), for messages. A view: the document
// outlives it. Every read checks the type: INVALID_ARGUMENT names the file, the place, what should
// be there and what is.
class JsonField {
 public:
  bool is_null() const;
  bool is_string() const;
  bool is_object() const;
  bool is_array() const;

  // A member; nothing when it is missing or null, or this is no object.
  std::optional<JsonField> Find(std::string_view key) const;
  // INVALID_ARGUMENT: missing or null.
  absl::StatusOr<JsonField> Get(std::string_view key) const;

  absl::StatusOr<std::string_view> String(size_t bytes_max) const;
  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<int64_t> Int(int64_t low, int64_t high) const;
  absl::StatusOr<double> Number() const;
  absl::StatusOr<std::vector<JsonField>> Elements(size_t count_max) const;

  // Calls `on_member` for each member of an object in the file's order, until it fails.
  using OnMember = std::function<absl::Status(std::string_view key, const JsonField& value)>;
  absl::Status ForEachMember(const OnMember& on_member) const;
  // Likewise for each element of an array. Their paths are the array's: for long ones.
  using OnElement = std::function<absl::Status(const JsonField& value)>;
  absl::Status ForEachElement(const OnElement& on_element) const;

  // Members; what is missing or null is `fallback`.
  absl::StatusOr<std::string> StringOr(std::string_view key, std::string_view fallback,
                                       size_t bytes_max) const;
  absl::StatusOr<bool> BoolOr(std::string_view key, bool fallback) const;
  absl::StatusOr<int64_t> IntOr(std::string_view key, int64_t fallback, int64_t low,
                                int64_t high) const;

  // INVALID_ARGUMENT: "FILE: PATH WHAT".
  absl::Status Wrong(std::string_view what) const;
  // UNIMPLEMENTED likewise.
  absl::Status Unknown(std::string_view what) const;

 private:
  friend class JsonDocument;
  using Element = std::array<uint64_t, 2>;  // simdjson's, so that its header stays out of this one

  JsonField(Element element, std::string path) : element_(element), path_(std::move(path)) {}
  JsonField At(Element element, std::string_view key) const;

  Element element_;
  std::string path_;  // the file's name, then keys
};

// A parsed JSON text. Owns all that its fields show.
class JsonDocument {
 public:
  // INVALID_ARGUMENT: no JSON, nested deeper than 1024, or above 4 GB.
  static absl::StatusOr<JsonDocument> Parse(std::string_view text, std::string file_name);
  ~JsonDocument();
  JsonDocument(JsonDocument&&) noexcept;

  const JsonField& root() const { return root_; }

 private:
  class Parser;
  JsonDocument(std::unique_ptr<Parser> parser, JsonField root);
  std::unique_ptr<Parser> parser_;
  JsonField root_;
};

}  // namespace spillway
