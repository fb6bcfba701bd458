#include "server/cli/server_access.h"

#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace spillway {

absl::StatusOr<std::vector<HttpHeader>> AccessHeaders(const ServerAccess& access) {
  std::string token = access.token;
  if (!access.token_file.empty()) {
    token.clear();
    std::ifstream file(access.token_file);
    std::getline(file, token);
    absl::StripAsciiWhitespace(&token);
    if (token.empty()) {
      return absl::NotFoundError(
          absl::StrCat("there is no token in the first line of ", access.token_file));
    }
  }
  if (token.empty()) return std::vector<HttpHeader>();
  return std::vector<HttpHeader>{{"Authorization", absl::StrCat("Bearer ", token)}};
}

}  // namespace spillway
