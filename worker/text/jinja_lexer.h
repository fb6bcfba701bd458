#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spillway::jinja {

struct Token {
  enum class Kind {
    kData,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  int line = 0;
  std::string text;  // of strings: what they stand for
  int64_t integer = 0;
  double number = 0;
};

// What `token` is, for an error message.
std::string Describe(const Token& token);

// Cuts a template into tokens, kEnd last, as Jinja does with trim_blocks and lstrip_blocks on and
// keep_trailing_newline off. INVALID_ARGUMENT names the line.
// Requires valid UTF-8.
absl::StatusOr<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace spillway::jinja
