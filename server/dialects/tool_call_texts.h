#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "router/generate_request.h"

namespace spillway {

// One of an answer's calls, as far as it has come.
struct ToolCallText {
  std::string name;
  std::string arguments;
};

// Adds `pieces` to the calls so far.
void AddPieces(std::span<const ToolCallPiece> pieces, std::vector<ToolCallText>& calls);

// The id of call number `index` of a choice: nine letters and digits, since the templates of
// Mistral's models refuse all else. The same whenever it is asked for.
std::string ToolCallId(std::string_view answer_id, int32_t choice, int32_t index);

// The arguments where clients want an object: {} for what is none, such as arguments that were cut
// off by the length.
std::string_view ArgumentsObject(std::string_view arguments);

}  // namespace spillway
