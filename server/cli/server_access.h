#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/http/http_types.h"

namespace spillway {

// How a command reaches a server that runs.
struct ServerAccess {
  std::string url;         // "http://127.0.0.1:8080", with or without /v1
  std::string token;       // empty: none is sent
  std::string token_file;  // goes before `token`; its first line
};

// The headers that prove who asks. NOT_FOUND: the token file can't be read or is empty.
absl::StatusOr<std::vector<HttpHeader>> AccessHeaders(const ServerAccess& access);

}  // namespace spillway
