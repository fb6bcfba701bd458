#pragma once

#include <string>

namespace spillway {

// Whose request it is, from its token.
struct Tenant {
  std::string name;
};

}  // namespace spillway
