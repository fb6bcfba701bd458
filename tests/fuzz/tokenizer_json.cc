// Reads arbitrary bytes as tokenizer.json, and with what loads encodes a text and decodes it again:
// ids must be in the vocabulary, and none of a control token may come of a text that nobody trusts.
//
// Input: tokenizer.json; then, after a zero byte, the text, up to 300 bytes of it.

#include "worker/text/tokenizer_json.h"

#include <string_view>
#include <utility>
#include <vector>

#include "common/check.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

constexpr size_t kTextBytesMax = 300;

void CheckIds(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  for (const TokenId id : ids) CHECK(id >= 0 && id < tokenizer.vocabulary_size());
}

void Check(std::string_view json, std::string_view text) {
  auto spec = TokenizerSpecFromTokenizerJson(json);
  if (!spec.ok()) return;
  const TokenId unknown = spec->unknown;
  const auto tokenizer = Tokenizer::Create(*std::move(spec));
  if (!tokenizer.ok()) return;
  const std::vector<TokenId> untrusted = (*tokenizer)->Encode(text);
  CheckIds(**tokenizer, untrusted);
  for (const TokenId id : untrusted) CHECK(id == unknown || !(*tokenizer)->IsControl(id));
  const TextRange whole{0, text.size()};
  const std::vector<TokenId> ids = (*tokenizer)->Encode(text, {&whole, 1});
  CheckIds(**tokenizer, ids);
  for (const TokenId id : ids) (*tokenizer)->TokenBytes(id);
  for (const bool skip : {false, true}) (*tokenizer)->Decode(ids, skip);
  for (const TokenId id : (*tokenizer)->end_of_text()) CHECK((*tokenizer)->IsEndOfText(id));
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view text = zero == std::string_view::npos ? "a b <s>" : input.substr(zero + 1);
  spillway::Check(input.substr(0, zero), text.substr(0, spillway::kTextBytesMax));
  return 0;
}
