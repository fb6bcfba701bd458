#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/code_point_set.h"
#include "worker/text/pattern_tree.h"

namespace spillway {

// One step of a compiled expression. Steps run one after the other unless they say otherwise.
struct PatternStep {
  enum class Op : uint8_t {
    kCharacter,      // the next character is `argument`
    kSet,            // the next character is in sets[argument]
    kLoop,           // min to max characters of sets[argument], as many as there are
    kOnceAndForAll,  // likewise, and none is given back
    kSplit,          // try `argument`; if that fails, `other`
    kJump,           // to `argument`
    kAhead,          // the steps that follow, up to kAccept, match here; then go to `argument`
    kBehind,         // likewise, `other` characters further back, and end here
    kPlace,          // this is a PatternNode::Kind of place: `argument`
    kAccept,         // a match, of all or of a look-around
  };
  Op op = Op::kAccept;
  bool negated = false;  // kAhead, kBehind, kPlace
  int32_t argument = 0;
  int32_t other = 0;
  int32_t min = 0;  // kLoop, kOnceAndForAll
  int32_t max = 0;
};

struct PatternProgram {
  static constexpr int32_t kNoMax = INT32_MAX;

  std::vector<PatternStep> steps;
  std::vector<CodePointBitmap> sets;
  CodePointBitmap word;  // for word boundaries
  PatternProgram();
};

// INVALID_ARGUMENT: more than 2,000 steps, or 200 different sets.
absl::StatusOr<PatternProgram> CompilePattern(const PatternNode& tree);

}  // namespace spillway
