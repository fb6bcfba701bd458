#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "server/dialects/json_fields.h"

namespace spillway {

// The canonical messages that chat templates are written for, as JSON text: roles system, user,
// assistant and tool; content always a string (parts of type text are joined); tool calls as they
// are in `text`, the text of `messages`. Empty, with an error in `reader`, when `messages` is
// unfit.
std::string CanonicalMessages(const nlohmann::json& messages, std::string_view text,
                              size_t messages_max, FieldReader& reader);

}  // namespace spillway
