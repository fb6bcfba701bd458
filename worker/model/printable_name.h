#pragma once

#include <string>
#include <string_view>

namespace spillway {

// For messages: a text that a file says, with whatever isn't printable escaped, cut after 80 bytes.
std::string PrintableName(std::string_view text);

}  // namespace spillway
