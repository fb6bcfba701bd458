#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/pattern_program.h"
#include "worker/text/unicode_properties.h"

namespace spillway {
namespace {

using Kind = PatternNode::Kind;
using Mode = PatternNode::Mode;
using Op = PatternStep::Op;

constexpr size_t kStepsMax = 2'000;
constexpr size_t kSetsMax = 200;

class Compiler {
 public:
  explicit Compiler(PatternProgram& program) : program_(program) {}

  absl::Status Compile(const PatternNode& tree) {
    RETURN_IF_ERROR(Emit(tree));
    return Add({.op = Op::kAccept});
  }

 private:
  int32_t here() const { return static_cast<int32_t>(program_.steps.size()); }

  absl::Status Add(PatternStep step) {
    if (program_.steps.size() == kStepsMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("pattern: more than ", kStepsMax, " steps, repetitions written out"));
    }
    program_.steps.push_back(step);
    return absl::OkStatus();
  }

  // NOLINTNEXTLINE(misc-no-recursion): the parser bounds the depth.
  absl::Status Emit(const PatternNode& node) {
    switch (node.kind) {
      case Kind::kEmpty:
        return absl::OkStatus();
      case Kind::kSet:
        return EmitSet(node);
      case Kind::kSequence:
        for (const PatternNode& child : node.children) RETURN_IF_ERROR(Emit(child));
        return absl::OkStatus();
      case Kind::kAlternatives:
        return EmitAlternatives(node);
      case Kind::kRepeat:
        return EmitRepeat(node);
      case Kind::kAhead:
      case Kind::kBehind:
        return EmitLookAround(node);
      default:
        return Add({.op = Op::kPlace,
                    .negated = node.negated,
                    .argument = static_cast<int32_t>(node.kind)});
    }
  }

  absl::Status EmitSet(const PatternNode& node) {
    const auto ranges = node.set.ranges();
    if (ranges.size() == 1 && ranges[0].first == ranges[0].last) {
      return Add({.op = Op::kCharacter, .argument = static_cast<int32_t>(ranges[0].first)});
    }
    ASSIGN_OR_RETURN(const int32_t set, SetIndex(node.set));
    return Add({.op = Op::kSet, .argument = set});
  }

  absl::StatusOr<int32_t> SetIndex(const CodePointSet& set) {
    const auto same = [&](const CodePointSet& other) {
      return std::equal(set.ranges().begin(), set.ranges().end(), other.ranges().begin(),
                        other.ranges().end(), [](const CodePointRange& a, const CodePointRange& b) {
                          return a.first == b.first && a.last == b.last;
                        });
    };
    const auto found = std::find_if(sets_.begin(), sets_.end(), same);
    if (found != sets_.end()) return static_cast<int32_t>(found - sets_.begin());
    if (sets_.size() == kSetsMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("pattern: more than ", kSetsMax, " different sets of characters"));
    }
    sets_.push_back(set);
    program_.sets.emplace_back(set);
    return static_cast<int32_t>(sets_.size() - 1);
  }

  // split a; a: …; jump end; b: split …
  absl::Status EmitAlternatives(const PatternNode& node) {
    std::vector<int32_t> jumps;
    for (size_t i = 0; i < node.children.size(); ++i) {
      const bool is_last = i + 1 == node.children.size();
      const int32_t split = here();
      if (!is_last) RETURN_IF_ERROR(Add({.op = Op::kSplit, .argument = split + 1}));
      RETURN_IF_ERROR(Emit(node.children[i]));
      if (is_last) break;
      jumps.push_back(here());
      RETURN_IF_ERROR(Add({.op = Op::kJump}));
      program_.steps[split].other = here();
    }
    for (const int32_t jump : jumps) program_.steps[jump].argument = here();
    return absl::OkStatus();
  }

  absl::Status EmitRepeat(const PatternNode& node) {
    const PatternNode& body = node.children[0];
    if (body.kind == Kind::kSet && node.mode != Mode::kLazy) {
      ASSIGN_OR_RETURN(const int32_t set, SetIndex(body.set));
      return Add({.op = node.mode == Mode::kPossessive ? Op::kOnceAndForAll : Op::kLoop,
                  .argument = set,
                  .min = node.min,
                  .max = node.max == PatternNode::kNoMax ? PatternProgram::kNoMax : node.max});
    }
    for (int i = 0; i < node.min; ++i) {
      const int32_t before = here();
      RETURN_IF_ERROR(Emit(body));
      if (here() == before)
        return absl::OkStatus();  // (?:){1000}{1000}{1000}: nothing, however often
    }
    if (node.max == PatternNode::kNoMax) {
      const int32_t split = here();
      RETURN_IF_ERROR(Add({.op = Op::kSplit}));
      RETURN_IF_ERROR(Emit(body));
      RETURN_IF_ERROR(Add({.op = Op::kJump, .argument = split}));
      SetArms(split, node.mode == Mode::kLazy);
      return absl::OkStatus();
    }
    std::vector<int32_t> splits;
    for (int i = node.min; i < node.max; ++i) {
      splits.push_back(here());
      RETURN_IF_ERROR(Add({.op = Op::kSplit}));
      RETURN_IF_ERROR(Emit(body));
    }
    for (const int32_t split : splits) SetArms(split, node.mode == Mode::kLazy);
    return absl::OkStatus();
  }

  // Once more is the step after `split`, enough is here.
  void SetArms(int32_t split, bool lazy) {
    program_.steps[split].argument = lazy ? here() : split + 1;
    program_.steps[split].other = lazy ? split + 1 : here();
  }

  absl::Status EmitLookAround(const PatternNode& node) {
    const int32_t look = here();
    RETURN_IF_ERROR(Add({.op = node.kind == Kind::kAhead ? Op::kAhead : Op::kBehind,
                         .negated = node.negated,
                         .other = WidthOf(node.children[0]).min}));
    RETURN_IF_ERROR(Emit(node.children[0]));
    RETURN_IF_ERROR(Add({.op = Op::kAccept}));
    program_.steps[look].argument = here();
    return absl::OkStatus();
  }

  PatternProgram& program_;
  std::vector<CodePointSet> sets_;
};

}  // namespace

PatternProgram::PatternProgram() : word(UnicodeWord()) {}

absl::StatusOr<PatternProgram> CompilePattern(const PatternNode& tree) {
  PatternProgram program;
  RETURN_IF_ERROR(Compiler(program).Compile(tree));
  return program;
}

}  // namespace spillway
