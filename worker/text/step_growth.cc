#include "worker/text/step_growth.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace spillway {
namespace {

// All factors are upper bounds, in bytes of UTF-8.
constexpr size_t kCanonical = 3;    // U+0390 becomes three characters of two bytes
constexpr size_t kCompatible = 11;  // U+FDFA, the longest
constexpr size_t kLowercase = 2;
constexpr size_t kPadded = 2;     // a Chinese character between spaces
constexpr size_t kSpaceMark = 3;  // U+2581

size_t OfReplacement(const TextPattern& pattern, size_t replacement) {
  if (pattern.is_regex) return replacement + 1;  // it may match before each byte
  const size_t size = std::max<size_t>(pattern.text.size(), 1);
  return std::max<size_t>((replacement + size - 1) / size, 1);
}

// The longest text that a precompiled charsmap may put in the place of a byte.
size_t OfCharsmap(std::string_view bytes) {
  size_t longest = 1;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.find('\0'), bytes.size());
    longest = std::max(longest, size);
    bytes.remove_prefix(std::min(size + 1, bytes.size()));
  }
  return longest;
}

// Past the trie; PrecompiledCharsmap says what is wrong with one that is too short.
std::string_view ReplacementsOf(std::string_view charsmap) {
  if (charsmap.size() < 4) return {};
  size_t trie_bytes = 0;
  for (size_t i = 4; i-- > 0;)
    trie_bytes = trie_bytes << 8 | static_cast<unsigned char>(charsmap[i]);
  return charsmap.substr(std::min(4 + trie_bytes, charsmap.size()));
}

size_t GrowthOf(const NormalizerStep& step) {
  using Kind = NormalizerStep::Kind;
  switch (step.kind) {
    case Kind::kNfc:
    case Kind::kNfd:
      return kCanonical;
    case Kind::kNfkc:
    case Kind::kNfkd:
      return kCompatible;
    case Kind::kLowercase:
      return kLowercase;
    case Kind::kBert:
      return kPadded * (step.strip_accents ? kCanonical : 1) * (step.lowercase ? kLowercase : 1);
    case Kind::kReplace:
      return OfReplacement(step.pattern, step.text.size());
    case Kind::kPrecompiled:
      return OfCharsmap(ReplacementsOf(step.text));
    case Kind::kSentencePiece:
      return kSpaceMark * OfCharsmap(ReplacementsOf(step.text));
    case Kind::kByteLevel:
      return 2;
    default:
      return 1;
  }
}

size_t GrowthOf(const DecoderStep& step) {
  if (step.kind == DecoderStep::Kind::kReplace)
    return OfReplacement(step.pattern, step.text.size());
  return step.kind == DecoderStep::Kind::kByteLevel ? 3 : 1;  // a bad byte becomes U+FFFD
}

template <typename Steps>
absl::Status CheckSteps(const Steps& steps, const char* what) {
  size_t growth = 1;
  for (const auto& step : steps) {
    growth *= GrowthOf(step);
    if (growth > TokenizerLimits::kGrowthMax) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer: the ", what, " could make a text ",
                                                     growth, " times as long; the limit is ",
                                                     TokenizerLimits::kGrowthMax));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGrowth(const TokenizerSpec& spec) {
  RETURN_IF_ERROR(CheckSteps(spec.normalizers, "normalizers"));
  return CheckSteps(spec.decoders, "decoders");
}

}  // namespace spillway
