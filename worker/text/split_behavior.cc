#include "worker/text/split_behavior.h"

#include <algorithm>

namespace spillway {
namespace {

using Behavior = PreTokenizerStep::Behavior;

// Which parts are one piece with the one before them. Empty parts count, as they do in tokenizers.
std::vector<bool> JoinsPrevious(const std::vector<SplitPart>& parts, Behavior behavior) {
  std::vector<bool> joins(parts.size(), false);
  for (size_t i = 1; i < parts.size(); ++i) {
    const bool now = parts[i].is_match;
    const bool before = parts[i - 1].is_match;
    if (behavior == Behavior::kMergedWithPrevious) joins[i] = now && !before;
    if (behavior == Behavior::kMergedWithNext) joins[i] = before && !now;
    if (behavior == Behavior::kContiguous) joins[i] = now == before;
  }
  return joins;
}

}  // namespace

void AppendPieces(std::string_view text, const std::vector<SplitPart>& parts, Behavior behavior,
                  std::vector<std::string_view>& pieces) {
  const std::vector<bool> joins = JoinsPrevious(parts, behavior);
  for (size_t i = 0; i < parts.size();) {
    size_t last = i;
    while (last + 1 < parts.size() && joins[last + 1]) ++last;
    const bool removed = behavior == Behavior::kRemoved && parts[i].is_match;
    const size_t size = parts[last].end - parts[i].begin;
    if (!removed && size > 0) pieces.push_back(text.substr(parts[i].begin, size));
    i = last + 1;
  }
}

}  // namespace spillway
