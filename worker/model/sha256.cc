#include "worker/model/sha256.h"

#include "absl/strings/escaping.h"
#include "common/check.h"
#include "openssl/evp.h"
#include "openssl/sha.h"

namespace spillway {

struct Sha256::Context {
  ~Context() { EVP_MD_CTX_free(evp); }
  EVP_MD_CTX* const evp = EVP_MD_CTX_new();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  CHECK(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::Add(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1);
}

void Sha256::AddText(std::string_view text) {
  AddNumber(text.size());
  Add(std::as_bytes(std::span(text)));
}

void Sha256::AddNumber(uint64_t number) { Add(std::as_bytes(std::span(&number, 1))); }

std::string Sha256::HexDigest() {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  CHECK(EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.data()),
                           nullptr) == 1);
  return absl::BytesToHexString(digest);
}

}  // namespace spillway
