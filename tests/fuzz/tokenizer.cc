// Encodes arbitrary bytes with arbitrary trusted ranges over a tiny vocabulary: the tokens must
// decode to the bytes again, and control tokens must lie in trusted ranges.
//
// Input: one byte that picks the pre-tokenizer, one with the number of ranges (up to 7), for each
// range two bytes (gap before it, size), then the text.

#include "worker/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common/check.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/merge_rules.h"

namespace spillway {
namespace {

constexpr std::array kFamilies = {"gpt-2", "smollm",      "llama-bpe",
                                  "qwen2", "deepseek-v3", "default"};
constexpr TokenId kControl = 256;

std::unique_ptr<Tokenizer> Make(const char* family) {
  using Type = TokenizerSpec::TokenType;
  TokenizerSpec spec;
  spec.pre_tokenizer = family;
  const ByteAlphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(alphabet.CharacterOf(static_cast<unsigned char>(byte)));
  }
  spec.types.resize(256, Type::kNormal);
  for (const char* text : {"<s>", "<s>s", "<t>"}) spec.tokens.emplace_back(text);
  spec.types.insert(spec.types.end(), {Type::kControl, Type::kControl, Type::kUserDefined});
  const std::vector<std::string_view> merges = {"a b", "ab ab", "Ġ Ġ", "Ġ a", "s >", "Ã ¤"};
  for (const std::string_view merge : merges) {
    std::string text(merge);
    text.erase(text.find(' '), 1);
    spec.tokens.push_back(text);
    spec.types.push_back(Type::kNormal);
  }
  spec.merges = *MergeRulesFromLines(spec.tokens, merges);
  return *Tokenizer::Create(std::move(spec));
}

void Check(const Tokenizer& tokenizer, std::string_view text,
           const std::vector<TextRange>& trusted) {
  std::string decoded;
  for (const TokenId token : tokenizer.Encode(text, trusted)) {
    const std::string_view bytes = tokenizer.TokenBytes(token);
    if (token == kControl || token == kControl + 1) {
      const auto holds = [&](const TextRange& range) {
        return range.begin <= decoded.size() && decoded.size() + bytes.size() <= range.end;
      };
      CHECK(std::any_of(trusted.begin(), trusted.end(), holds));
    }
    decoded += bytes;
  }
  CHECK(decoded == text);
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using spillway::kFamilies;
  static const auto tokenizers = [] {
    std::vector<std::unique_ptr<spillway::Tokenizer>> all;
    for (const char* family : kFamilies) all.push_back(spillway::Make(family));
    return all;
  }();
  if (size < 2) return 0;
  const size_t family = data[0] % kFamilies.size();
  const size_t range_count = data[1] % 8;
  if (size < 2 + 2 * range_count) return 0;
  const uint8_t* const gaps = data + 2;
  const uint8_t* const begin = gaps + 2 * range_count;
  const std::string_view text(reinterpret_cast<const char*>(begin),
                              static_cast<size_t>(data + size - begin));
  std::vector<spillway::TextRange> trusted;
  size_t at = 0;
  for (size_t i = 0; i < range_count; ++i) {
    const size_t from = at + gaps[2 * i];
    at = from + gaps[2 * i + 1];
    trusted.push_back({from, at});
  }
  spillway::Check(*tokenizers[family], text, trusted);
  return 0;
}
