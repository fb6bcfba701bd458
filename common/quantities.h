#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// Numbers as messages for people have them.

// "512 bytes", "97.5 MiB", "2.1 GiB": one digit after the point from KiB on.
std::string FormatBytes(int64_t bytes);

// "8,192".
std::string FormatCount(int64_t count);

}  // namespace spillway
