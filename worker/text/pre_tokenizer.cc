#include "worker/text/pre_tokenizer.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/text/utf8.h"

namespace spillway {

absl::StatusOr<PreTokenizer> PreTokenizer::Create(std::span<const PreTokenizerStep> steps,
                                                  bool maps_bytes) {
  std::vector<std::unique_ptr<const PieceRule>> rules;
  bool has_bytes = false;
  for (const PreTokenizerStep& step : steps) {
    ASSIGN_OR_RETURN(rules.emplace_back(), MakePieceRule(step, maps_bytes));
    has_bytes |= step.kind == PreTokenizerStep::Kind::kByteLevel;
  }
  return PreTokenizer(std::move(rules), maps_bytes && has_bytes);
}

TextPieces PreTokenizer::Split(std::string_view text, bool at_beginning) const {
  TextPieces all;
  ForEachUtf8Run(text, [&](size_t begin, std::string_view run, bool is_utf8) {
    if (!is_utf8 || rules_.empty()) {
      if (maps_bytes_) run = all.owned.emplace_back(alphabet_.Encode(run));
      all.pieces.push_back(run);
      return;
    }
    std::vector<std::string_view> parts = {run};
    const char* const first = run.data();
    for (const auto& rule : rules_) {
      TextPieces finer;
      finer.owned.swap(all.owned);
      for (const std::string_view part : parts) {
        // Once a rule has changed the text its first piece is elsewhere; a second one that asks is
        // unheard of.
        rule->Cut(part, at_beginning && begin == 0 && part.data() == first, finer);
      }
      parts = std::move(finer.pieces);
      all.owned.swap(finer.owned);
    }
    all.pieces.insert(all.pieces.end(), parts.begin(), parts.end());
  });
  return all;
}

}  // namespace spillway
