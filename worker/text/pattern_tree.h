#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/code_point_set.h"

namespace spillway {

// A parsed regular expression (worker/text/split_pattern.h).
struct PatternNode {
  enum class Kind {
    kEmpty,         // matches nothing, always
    kSet,           // one character of `set`
    kSequence,      // all children, one after the other
    kAlternatives,  // the first child that leads to a match
    kRepeat,        // the child, `min` to `max` times
    kAhead,         // the child matches here, but is not taken
    kBehind,        // the child matches up to here
    kTextBegin,
    kTextEnd,
    kTextEndOrLastNewline,
    kLineBegin,
    kLineEnd,
    kWordBoundary,
  };
  enum class Mode { kGreedy, kLazy, kPossessive };
  static constexpr int kNoMax = -1;

  Kind kind = Kind::kEmpty;
  CodePointSet set{};
  std::vector<PatternNode> children{};
  int min = 0;
  int max = kNoMax;
  Mode mode = Mode::kGreedy;
  bool negated = false;  // kAhead, kBehind, kWordBoundary: must not be so
};

// INVALID_ARGUMENT, UNIMPLEMENTED: what, and at which byte.
absl::StatusOr<PatternNode> ParsePattern(std::string_view expression);

// How many characters a node takes at least; whether it always takes that many.
struct PatternWidth {
  int min = 0;
  bool fixed = true;
};
PatternWidth WidthOf(const PatternNode& node);

}  // namespace spillway
