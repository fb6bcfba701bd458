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
#include "common/status_macros.h"

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

// Doesn't repeat it: it may be a token that was taken for its hash.
absl::Status CheckHash(const std::string& hash, const std::string& where) {
  if (IsSha256Hex(hash)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": a token's SHA-256 has 64 hex digits; this has ", hash.size(), " characters"));
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
  for (const std::string& hash : hashes) RETURN_IF_ERROR(CheckHash(hash, "--token-sha256"));
  if (path.empty()) return hashes;
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("can't read --token-sha256-file ", path));
  int line_number = 0;
  for (std::string line; std::getline(file, line);) {
    ++line_number;
    absl::StripAsciiWhitespace(&line);
    if (line.empty()) continue;
    RETURN_IF_ERROR(CheckHash(line, absl::StrCat(path, ", line ", line_number)));
    hashes.push_back(line);
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
