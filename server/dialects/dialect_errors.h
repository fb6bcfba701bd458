#pragma once

#include <string_view>
#include <vector>

#include "server/http/route_table.h"

namespace spillway {

// The shape of errors of the paths that begin with `prefix`.
struct PathErrors {
  std::string_view prefix;
  ErrorFormat format;
};

// Where clients don't read OpenAI's.
std::vector<PathErrors> DialectErrors();

}  // namespace spillway
