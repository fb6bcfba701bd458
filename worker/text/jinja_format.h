#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "worker/text/jinja_heap.h"
#include "worker/text/jinja_value.h"

// Values as text, byte for byte as Python writes them.

namespace spillway::jinja {

// repr() of a float: the shortest digits that read back the same.
std::string FormatFloat(double value);

// str(). A string keeps what is trusted in it; everything else is untrusted text.
// INVALID_ARGUMENT: containers nested too deep.
absl::Status AppendStr(const Value& value, TextBuilder& out);

// repr(), and ascii(), which escapes what is not ASCII.
absl::Status AppendRepr(const Value& value, TextBuilder& out);
absl::Status AppendAscii(const Value& value, TextBuilder& out);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;          // of one level; nothing: all on one line
  std::optional<std::string> item_separator;  // nothing: json.dumps's default for `indent`
  std::optional<std::string> key_separator;
};

// json.dumps(). INVALID_ARGUMENT: a value that JSON doesn't have, or nested too deep.
absl::Status AppendJson(const Value& value, const JsonStyle& style, Budget& budget,
                        TextBuilder& out);

}  // namespace spillway::jinja
