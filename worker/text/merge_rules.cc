#include "worker/text/merge_rules.h"

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace spillway {

absl::StatusOr<std::vector<MergeRule>> MergeRulesFromLines(
    std::span<const std::string> tokens, std::span<const std::string_view> lines) {
  absl::flat_hash_map<std::string, TokenId> ids;
  ids.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    ids.try_emplace(tokens[id], static_cast<TokenId>(id));
  }
  std::vector<MergeRule> rules;
  rules.reserve(lines.size());
  for (const std::string_view line : lines) {
    const size_t space = line.find(' ', 1);
    if (space == std::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer: merge \"", std::string(line), "\" is not two tokens"));
    }
    const std::string left(line.substr(0, space));
    const std::string right(line.substr(space + 1));
    TokenId found[3];
    int count = 0;
    for (const std::string& text : {left, right, left + right}) {
      const auto id = ids.find(text);
      if (id == ids.end()) {
        return absl::InvalidArgumentError(absl::StrCat("tokenizer: merge \"", std::string(line),
                                                       "\" needs \"", text,
                                                       "\", which is no token"));
      }
      found[count++] = id->second;
    }
    rules.push_back({found[0], found[1], found[2]});
  }
  return rules;
}

}  // namespace spillway
