#include "server/auth/eas_signature.h"

// The states of a SHA-1 are to be had from the old interface alone.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {
namespace {

constexpr size_t kBlockBytes = SHA_CBLOCK;
constexpr size_t kStateDigits = 40;  // five words of eight
constexpr uint8_t kInnerPad = 0x36;
constexpr uint8_t kOuterPad = 0x5c;

using Digest = std::array<uint8_t, SHA_DIGEST_LENGTH>;

void Update(SHA_CTX& sha, std::string_view bytes) {
  CHECK(SHA1_Update(&sha, bytes.data(), bytes.size()) == 1);
}

Digest Finish(SHA_CTX& sha) {
  Digest digest;
  CHECK(SHA1_Final(digest.data(), &sha) == 1);
  return digest;
}

std::string_view Bytes(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string StateAfter(std::array<uint8_t, kBlockBytes> block, uint8_t pad) {
  for (uint8_t& byte : block) byte ^= pad;
  SHA_CTX sha;
  CHECK(SHA1_Init(&sha) == 1);
  Update(sha, {reinterpret_cast<const char*>(block.data()), block.size()});
  std::string hex;
  for (const uint32_t word : {sha.h0, sha.h1, sha.h2, sha.h3, sha.h4}) {
    absl::StrAppend(&hex, absl::Hex(word, absl::kZeroPad8));
  }
  return hex;
}

SHA_CTX Resume(std::string_view state) {
  SHA_CTX sha;
  CHECK(SHA1_Init(&sha) == 1);
  for (auto* word : {&sha.h0, &sha.h1, &sha.h2, &sha.h3, &sha.h4}) {
    uint32_t value = 0;
    for (const char digit : state.substr(0, 8)) {
      value = value << 4 | static_cast<uint32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    *word = value;
    state.remove_prefix(8);
  }
  sha.Nl = kBlockBytes * 8;  // bits so far
  return sha;
}

}  // namespace

std::string EasKey(std::string_view token) {
  std::array<uint8_t, kBlockBytes> block = {};
  if (token.size() > kBlockBytes) {
    SHA_CTX sha;
    CHECK(SHA1_Init(&sha) == 1);
    Update(sha, token);
    const Digest digest = Finish(sha);
    std::copy(digest.begin(), digest.end(), block.begin());
  } else {
    std::copy(token.begin(), token.end(), block.begin());
  }
  return StateAfter(block, kInnerPad) + StateAfter(block, kOuterPad);
}

bool IsEasKey(std::string_view text) {
  return text.size() == 2 * kStateDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string EasSignedText(std::string_view method, std::string_view content_md5,
                          std::string_view content_type, std::string_view date,
                          std::string_view path) {
  std::string text;
  for (const std::string_view line : {method, content_md5, content_type, date}) {
    text.append(line).append("\n");
  }
  return text.append(path);
}

bool IsEasSignature(std::string_view signature, std::string_view key,
                    std::string_view signed_text) {
  CHECK(IsEasKey(key));
  std::string claimed;
  if (!absl::Base64Unescape(absl::string_view(signature.data(), signature.size()), &claimed)) {
    return false;
  }
  SHA_CTX inner = Resume(key.substr(0, kStateDigits));
  Update(inner, signed_text);
  SHA_CTX outer = Resume(key.substr(kStateDigits));
  Update(outer, Bytes(Finish(inner)));
  const Digest digest = Finish(outer);
  return claimed.size() == digest.size() &&
         CRYPTO_memcmp(claimed.data(), digest.data(), digest.size()) == 0;
}

}  // namespace spillway
