#include "worker/text/split_pattern.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/text/pattern_matcher.h"
#include "worker/text/pattern_program.h"
#include "worker/text/pattern_tree.h"
#include "worker/text/utf8.h"

namespace spillway {

class SplitPattern::Program {
 public:
  PatternProgram program;
};

namespace {

absl::Status CheckText(std::string_view text) {
  if (text.size() > TokenizerLimits::kPatternBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("pattern: ", text.size(),
                                                   " bytes, beyond the limit of ",
                                                   TokenizerLimits::kPatternBytesMax));
  }
  return IsUtf8(text) ? absl::OkStatus() : absl::InvalidArgumentError("pattern: no UTF-8");
}

}  // namespace

absl::StatusOr<SplitPattern> SplitPattern::Parse(std::string_view expression) {
  RETURN_IF_ERROR(CheckText(expression));
  ASSIGN_OR_RETURN(const PatternNode tree, ParsePattern(expression));
  ASSIGN_OR_RETURN(PatternProgram program, CompilePattern(tree));
  auto owned = std::make_unique<Program>();
  owned->program = std::move(program);
  return SplitPattern(std::move(owned));
}

absl::StatusOr<SplitPattern> SplitPattern::Literal(std::string_view text) {
  RETURN_IF_ERROR(CheckText(text));
  if (text.empty()) return absl::InvalidArgumentError("pattern: it is empty");
  auto owned = std::make_unique<Program>();
  while (!text.empty()) {
    const Utf8Character character = FirstUtf8Character(text);
    owned->program.steps.push_back({.op = PatternStep::Op::kCharacter,
                                    .argument = static_cast<int32_t>(character.code_point)});
    text.remove_prefix(static_cast<size_t>(character.size));
  }
  owned->program.steps.push_back({.op = PatternStep::Op::kAccept});
  return SplitPattern(std::move(owned));
}

absl::StatusOr<SplitPattern> SplitPattern::Create(const TextPattern& pattern) {
  return pattern.is_regex ? Parse(pattern.text) : Literal(pattern.text);
}

SplitPattern::SplitPattern(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
SplitPattern::~SplitPattern() = default;
SplitPattern::SplitPattern(SplitPattern&&) noexcept = default;
SplitPattern& SplitPattern::operator=(SplitPattern&&) noexcept = default;

int64_t SplitPattern::ForEachMatch(std::string_view text, const OnMatch& on_match) const {
  PatternMatcher matcher(program_->program, text);
  std::optional<size_t> last_end;
  for (size_t at = 0; at <= text.size();) {
    const std::optional<size_t> end = matcher.MatchAt(at);
    // An empty match right after another is none, and the search goes on behind the next character.
    if (end && !(*end == at && last_end == at)) {
      on_match(at, *end);
      last_end = end;
      if (*end > at) {
        at = *end;
        continue;
      }
    }
    if (at == text.size()) break;
    at += static_cast<size_t>(FirstUtf8Character(text.substr(at)).size);
  }
  return matcher.step_count();
}

}  // namespace spillway
