#pragma once

#include <string>

namespace spillway {

// Whose request it is, from its token.
struct Tenant {
  std::string name;
  std::string token_name;  // which of its tokens
};

}  // namespace spillway
