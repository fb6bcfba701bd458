#include "worker/text/token_lookup.h"

#include "absl/strings/string_view.h"

namespace spillway {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool IsTextToken(TokenizerSpec::TokenType type) {
  return type != TokenizerSpec::TokenType::kControl && type != TokenizerSpec::TokenType::kUnknown;
}

TokenLookup::TokenLookup(const TokenizerSpec& spec) {
  ids_.reserve(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!IsTextToken(spec.types[id]) || spec.tokens[id].empty()) continue;
    ids_.insert_or_assign(spec.tokens[id], static_cast<TokenId>(id));
  }
}

TokenId TokenLookup::Find(std::string_view text) const {
  const auto found = ids_.find(absl::string_view(text.data(), text.size()));
  return found == ids_.end() ? -1 : found->second;
}

ByteTokens::ByteTokens(const TokenizerSpec& spec) {
  tokens_.fill(-1);
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!IsTextToken(spec.types[id])) continue;
    // Lower-case digits are read, but not written.
    const std::string& text = spec.tokens[id];
    const int byte = ByteOfToken(text);
    if (byte >= 0 && text.find_first_of("abcdef") == std::string::npos) {
      tokens_[byte] = static_cast<TokenId>(id);
    }
  }
}

bool ByteTokens::Append(std::string_view bytes, std::vector<TokenId>& out) const {
  for (const char byte : bytes) {
    if (tokens_[static_cast<unsigned char>(byte)] < 0) return false;
  }
  for (const char byte : bytes) out.push_back(tokens_[static_cast<unsigned char>(byte)]);
  return true;
}

int ByteOfToken(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  const int high = HexValue(text[3]);
  const int low = HexValue(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace spillway
