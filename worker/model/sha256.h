#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace spillway {

// A SHA-256 over bytes that come in parts. (FIPS 180-4, by OpenSSL.)
class Sha256 {
 public:
  Sha256();
  ~Sha256();

  void Add(std::span<const std::byte> bytes);
  // The text's length, as 8 bytes, then the text: no two lists of texts give the same bytes.
  void AddText(std::string_view text);
  void AddNumber(uint64_t number);

  // 64 hex digits. Call once, last.
  std::string HexDigest();

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

}  // namespace spillway
