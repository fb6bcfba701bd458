#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/pattern_escapes.h"
#include "worker/text/pattern_tree.h"
#include "worker/text/unicode_properties.h"

namespace spillway {
namespace {

using Kind = PatternNode::Kind;
using Mode = PatternNode::Mode;

constexpr int kDepthMax = 100;
constexpr int kQuantifiersMax = 10;  // of one atom; each is a level of the tree as a group is
constexpr int kRepeatMax = 1000;
constexpr int kWidthMax = 1 << 20;  // where sums stop growing

// What (?i) and (?m) have switched on.
struct Options {
  bool ignore_case = false;
  bool dot_is_all = false;
};

class Parser {
 public:
  explicit Parser(PatternCursor cursor) : in_(cursor) {}

  absl::StatusOr<PatternNode> Parse() {
    ASSIGN_OR_RETURN(PatternNode node, Alternatives(Options(), 0));
    if (!in_.done()) return in_.Wrong("a ) that closes nothing");
    return node;
  }

 private:
  absl::StatusOr<PatternNode> Alternatives(Options options, int depth) {
    if (depth > kDepthMax) return in_.Wrong("groups nested too deep");
    PatternNode all{.kind = Kind::kAlternatives};
    do {
      ASSIGN_OR_RETURN(PatternNode sequence, Sequence(options, depth));
      all.children.push_back(std::move(sequence));
    } while (in_.Take("|"));
    if (all.children.size() == 1) return PatternNode(std::move(all.children[0]));
    return all;
  }

  absl::StatusOr<PatternNode> Sequence(Options& options, int depth) {
    PatternNode sequence{.kind = Kind::kSequence};
    while (!in_.done() && !in_.Sees("|") && !in_.Sees(")")) {
      ASSIGN_OR_RETURN(std::optional<PatternNode> atom, Atom(options, depth));
      if (!atom) continue;  // a comment or an option
      ASSIGN_OR_RETURN(PatternNode repeated, Quantified(*std::move(atom)));
      sequence.children.push_back(std::move(repeated));
    }
    if (sequence.children.empty()) return PatternNode{.kind = Kind::kEmpty};
    if (sequence.children.size() == 1) return PatternNode(std::move(sequence.children[0]));
    return sequence;
  }

  static PatternNode OneOf(CodePointSet set, const Options& options) {
    if (options.ignore_case) AddOtherCases(set);
    return {.kind = Kind::kSet, .set = std::move(set)};
  }

  absl::StatusOr<std::optional<PatternNode>> Atom(Options& options, int depth) {
    if (in_.Take("(")) return Group(options, depth);
    if (in_.Take("[")) {
      ASSIGN_OR_RETURN(CodePointSet set, ParsePatternClass(in_));
      return OneOf(std::move(set), options);
    }
    if (in_.Take(".")) {
      CodePointSet all = CodePointSet().Complement();
      return OneOf(options.dot_is_all ? all : all.Without(CodePointSet(U'\n')), Options());
    }
    if (in_.Take("^")) return PatternNode{.kind = Kind::kLineBegin};
    if (in_.Take("$")) return PatternNode{.kind = Kind::kLineEnd};
    if (in_.Sees("*") || in_.Sees("+") || in_.Sees("?")) {
      return in_.Wrong("a repetition of nothing");
    }
    if (in_.Take("\\")) return Escaped(options);
    return OneOf(CodePointSet(in_.TakeCharacter()), options);
  }

  absl::StatusOr<std::optional<PatternNode>> Escaped(const Options& options) {
    constexpr std::pair<std::string_view, PatternNode::Kind> kPlaces[] = {
        {"A", Kind::kTextBegin}, {"z", Kind::kTextEnd}, {"Z", Kind::kTextEndOrLastNewline}};
    for (const auto& [letter, kind] : kPlaces) {
      if (in_.Take(letter)) return PatternNode{.kind = kind};
    }
    if (in_.Take("b")) return PatternNode{.kind = Kind::kWordBoundary};
    if (in_.Take("B")) return PatternNode{.kind = Kind::kWordBoundary, .negated = true};
    ASSIGN_OR_RETURN(PatternEscape escape, ParsePatternEscape(in_));
    return OneOf(std::move(escape.set), escape.is_class ? Options() : options);
  }

  // After the opening parenthesis.
  absl::StatusOr<std::optional<PatternNode>> Group(Options& options, int depth) {
    PatternNode node{.kind = Kind::kSequence};
    if (in_.Take("?#")) {
      while (!in_.done() && !in_.Sees(")")) in_.TakeCharacter();
      RETURN_IF_ERROR(Close());
      return std::nullopt;
    }
    if (in_.Take("?=")) {
      node.kind = Kind::kAhead;
    } else if (in_.Take("?!")) {
      node = {.kind = Kind::kAhead, .negated = true};
    } else if (in_.Take("?<=")) {
      node.kind = Kind::kBehind;
    } else if (in_.Take("?<!")) {
      node = {.kind = Kind::kBehind, .negated = true};
    } else if (in_.Take("?>")) {
      return in_.Unknown("an atomic group (?>");
    } else if (in_.Take("?<") || in_.Take("?'")) {
      RETURN_IF_ERROR(GroupName());
    } else if (in_.Take("?") && !in_.Take(":")) {
      Options changed = options;
      RETURN_IF_ERROR(OptionLetters(changed));
      if (in_.Take(")")) {  // (?i): up to the end of the group
        options = changed;
        return std::nullopt;
      }
      if (!in_.Take(":")) return in_.Unknown("this kind of group");
      return Body(std::move(node), changed, depth);
    }
    return Body(std::move(node), options, depth);
  }

  absl::StatusOr<std::optional<PatternNode>> Body(PatternNode node, const Options& options,
                                                  int depth) {
    ASSIGN_OR_RETURN(PatternNode body, Alternatives(options, depth + 1));
    RETURN_IF_ERROR(Close());
    if (node.kind == Kind::kBehind && !WidthOf(body).fixed) {
      return in_.Unknown("a look-behind whose length is not fixed");
    }
    if (node.kind == Kind::kSequence) return body;
    node.children.push_back(std::move(body));
    return node;
  }

  absl::Status Close() {
    return in_.Take(")") ? absl::OkStatus() : in_.Wrong("a ( that is not closed");
  }

  absl::Status GroupName() {
    while (!in_.done()) {
      const char32_t c = in_.TakeCharacter();
      if (c == '>' || c == '\'') return absl::OkStatus();
    }
    return in_.Wrong("a group's name that has no end");
  }

  absl::Status OptionLetters(Options& options) {
    bool on = true;
    while (!in_.done() && !in_.Sees(":") && !in_.Sees(")")) {
      const char32_t letter = in_.TakeCharacter();
      if (letter == '-') {
        on = false;
      } else if (letter == 'i') {
        options.ignore_case = on;
      } else if (letter == 'm') {
        options.dot_is_all = on;
      } else {
        return in_.Unknown("this kind of group");
      }
    }
    return absl::OkStatus();
  }

  // As many quantifiers as follow: {2}{3} is a repetition of a repetition.
  absl::StatusOr<PatternNode> Quantified(PatternNode atom) {
    for (int count = 0;; ++count) {
      PatternNode repeat{.kind = Kind::kRepeat};
      bool is_interval = false;
      if (in_.Take("*")) {
        repeat.min = 0;
      } else if (in_.Take("+")) {
        repeat.min = 1;
      } else if (in_.Take("?")) {
        repeat.max = 1;
      } else if (Interval(repeat)) {
        is_interval = true;
        if (std::max(repeat.min, repeat.max) > kRepeatMax) {
          return in_.Wrong(absl::StrCat("a repetition beyond ", kRepeatMax));
        }
        if (repeat.max != PatternNode::kNoMax && repeat.max < repeat.min) {
          return in_.Unknown("an interval that runs backwards");
        }
      } else {
        return atom;
      }
      if (count == kQuantifiersMax) return in_.Wrong("repetitions nested too deep");
      RETURN_IF_ERROR(SetMode(is_interval, atom, repeat));
      if (repeat.max == PatternNode::kNoMax && WidthOf(atom).min == 0) {
        return in_.Unknown("a repetition without end of what can match nothing");
      }
      repeat.children.push_back(std::move(atom));
      atom = std::move(repeat);
    }
  }

  // ? makes a repetition lazy and + possessive; but after {n} a ? repeats it, and after any {} a +.
  absl::Status SetMode(bool is_interval, const PatternNode& atom, PatternNode& repeat) {
    if (!(is_interval && repeat.min == repeat.max) && in_.Take("?")) {
      repeat.mode = Mode::kLazy;
    } else if (!is_interval && in_.Take("+")) {
      if (atom.kind != Kind::kSet) {
        return in_.Unknown("a possessive repetition of more than one character");
      }
      repeat.mode = Mode::kPossessive;
    }
    return absl::OkStatus();
  }

  // {n}, {n,}, {,m} or {n,m}; else nothing is taken and the { stands for itself.
  bool Interval(PatternNode& repeat) {
    const PatternCursor begin = in_;
    if (!in_.Take("{")) return false;
    const std::optional<int> min = in_.TakeNumber();
    std::optional<int> max = min;
    const bool has_comma = in_.Take(",");
    if (has_comma) max = in_.TakeNumber();
    if (!in_.Take("}") || (!min && !max)) {
      in_ = begin;
      return false;
    }
    repeat.min = min.value_or(0);
    repeat.max = max.value_or(PatternNode::kNoMax);
    return true;
  }

  PatternCursor in_;
};

}  // namespace

absl::StatusOr<PatternNode> ParsePattern(std::string_view expression) {
  return Parser(PatternCursor(expression)).Parse();
}

PatternWidth WidthOf(const PatternNode& node) {
  switch (node.kind) {
    case Kind::kSet:
      return {1, true};
    case Kind::kSequence: {
      PatternWidth sum;
      for (const PatternNode& child : node.children) {
        const PatternWidth width = WidthOf(child);
        sum.min = std::min(sum.min + width.min, kWidthMax);
        sum.fixed &= width.fixed;
      }
      return sum;
    }
    case Kind::kAlternatives: {
      PatternWidth all = WidthOf(node.children[0]);
      for (const PatternNode& child : node.children) {
        const PatternWidth width = WidthOf(child);
        all.fixed &= width.fixed && width.min == all.min;
        all.min = std::min(all.min, width.min);
      }
      return all;
    }
    case Kind::kRepeat: {
      const PatternWidth width = WidthOf(node.children[0]);
      return {static_cast<int>(std::min<int64_t>(int64_t{width.min} * node.min, kWidthMax)),
              width.fixed && node.min == node.max};
    }
    default:
      return {};
  }
}

}  // namespace spillway
