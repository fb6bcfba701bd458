#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace spillway {

// SentencePiece's table of what is replaced by what: a double array of the texts that are replaced
// (Darts, Yata et al.) and the replacements, each ended by a zero byte. Every index that the file
// gives is checked at each step. Immutable: any thread may use it at once.
class PrecompiledCharsmap {
 public:
  // INVALID_ARGUMENT: sizes that don't fit together, or replacements that are no UTF-8.
  static absl::StatusOr<PrecompiledCharsmap> Parse(std::string_view bytes);

  struct Match {
    size_t size = 0;  // bytes of the text that are replaced
    std::string_view replacement{};
  };
  // Of the entries that `text` begins with, the shortest or the longest.
  std::optional<Match> Shortest(std::string_view text) const { return Find(text, true); }
  std::optional<Match> Longest(std::string_view text) const { return Find(text, false); }

 private:
  std::optional<Match> Find(std::string_view text, bool first_only) const;
  std::optional<std::string_view> ReplacementAt(size_t offset) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace spillway
