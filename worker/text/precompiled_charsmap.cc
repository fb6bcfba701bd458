#include "worker/text/precompiled_charsmap.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

// Whatever the file's trie says; the longest entry of nmt_nfkc has 54 bytes.
constexpr size_t kEntryBytesMax = 256;

// The fields of a unit, as in darts.h.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t ValueOf(uint32_t unit) { return unit & ((1u << 31) - 1); }
uint32_t LabelOf(uint32_t unit) { return unit & ((1u << 31) | 0xFF); }
size_t OffsetOf(uint32_t unit) { return size_t{unit >> 10} << ((unit & (1u << 9)) >> 6); }

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

absl::StatusOr<PrecompiledCharsmap> PrecompiledCharsmap::Parse(std::string_view bytes) {
  if (bytes.size() < 4) {
    return absl::InvalidArgumentError("tokenizer: the precompiled charsmap has no size");
  }
  const uint32_t unit_bytes = LittleEndian(bytes);
  bytes.remove_prefix(4);
  if (unit_bytes == 0 || unit_bytes % 4 != 0 || unit_bytes > bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer: the precompiled charsmap gives ",
                                                   unit_bytes, " bytes to its trie, but has ",
                                                   bytes.size()));
  }
  PrecompiledCharsmap map;
  map.units_.reserve(unit_bytes / 4);
  for (size_t at = 0; at < unit_bytes; at += 4) {
    map.units_.push_back(LittleEndian(bytes.substr(at)));
  }
  map.replacements_ = bytes.substr(unit_bytes);
  if (!IsUtf8(map.replacements_)) {
    return absl::InvalidArgumentError(
        "tokenizer: the precompiled charsmap's replacements are no UTF-8");
  }
  return map;
}

std::optional<std::string_view> PrecompiledCharsmap::ReplacementAt(size_t offset) const {
  if (offset > replacements_.size()) return std::nullopt;
  const std::string_view rest = std::string_view(replacements_).substr(offset);
  // An offset into the middle of a character would make bad text of good.
  if (!rest.empty() && (static_cast<unsigned char>(rest[0]) & 0xC0) == 0x80) return std::nullopt;
  return rest.substr(0, rest.find('\0'));
}

std::optional<PrecompiledCharsmap::Match> PrecompiledCharsmap::Find(std::string_view text,
                                                                    bool first_only) const {
  std::optional<Match> found;
  size_t node = OffsetOf(units_[0]);
  for (size_t size = 1; size <= std::min(text.size(), kEntryBytesMax); ++size) {
    const auto byte = static_cast<unsigned char>(text[size - 1]);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) break;
    const uint32_t unit = units_[node];
    if (LabelOf(unit) != byte) break;
    node ^= OffsetOf(unit);
    if (!HasLeaf(unit)) continue;
    if (node >= units_.size()) break;
    if (const auto replacement = ReplacementAt(ValueOf(units_[node]))) {
      found = {size, *replacement};
      if (first_only) break;
    }
  }
  return found;
}

}  // namespace spillway
