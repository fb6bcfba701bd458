#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "router/store.h"

namespace spillway {

// "sk-" and 256 random bits in hex. The only moment at which a token exists in the clear.
std::string NewToken();

// 64 lower-case hex digits.
std::string Sha256Hex(std::string_view text);

// Whether `text` could be the result of Sha256Hex, in either case.
bool IsSha256Hex(std::string_view text);

// `hashes` and those in the file, one a line; no file if `path` is empty.
//   NOT_FOUND         it can't be read
//   INVALID_ARGUMENT  a hash is none
absl::StatusOr<std::vector<std::string>> ReadTokenHashes(std::vector<std::string> hashes,
                                                         const std::string& path);

// What is kept of a token, with an id of its own.
TokenRecord MakeTokenRecord(std::string_view token, std::string name, std::string tenant,
                            absl::Time now);

}  // namespace spillway
