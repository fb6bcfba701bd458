#include "server/auth/token.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {
namespace {

template <size_t kBytes>
std::string RandomHex() {
  std::array<unsigned char, kBytes> bytes;
  // Fails only when the machine has no source of randomness; nothing safe can be done then.
  CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace

std::string NewToken() { return "sk-" + RandomHex<32>(); }

std::string Sha256Hex(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

bool IsSha256Hex(std::string_view text) {
  if (text.size() != 2 * SHA256_DIGEST_LENGTH) return false;
  for (char c : text) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

absl::StatusOr<std::vector<std::string>> ReadTokenHashes(std::vector<std::string> hashes,
                                                         const std::string& path) {
  if (!path.empty()) {
    std::ifstream file(path);
    if (!file) return absl::NotFoundError(absl::StrCat("can't read --token-sha256-file ", path));
    for (std::string line; std::getline(file, line);) {
      absl::StripAsciiWhitespace(&line);
      if (!line.empty()) hashes.push_back(line);
    }
  }
  for (const std::string& hash : hashes) {
    if (!IsSha256Hex(hash)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a token's SHA-256 has 64 hex digits; this has ", hash.size(), " characters"));
    }
  }
  return hashes;
}

TokenRecord MakeTokenRecord(std::string_view token, std::string name, std::string tenant,
                            absl::Time now) {
  TokenRecord record;
  record.id = "tok_" + RandomHex<4>();
  record.name = std::move(name);
  record.tenant = std::move(tenant);
  record.sha256_hex = Sha256Hex(token);
  record.created = now;
  return record;
}

}  // namespace spillway
