#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Pieces of a text, in order and not empty. They are parts of the text, or of `owned` where a rule
// changed it.
struct TextPieces {
  std::vector<std::string_view> pieces{};
  std::deque<std::string> owned{};
};

// One rule by which a piece is cut further: a step of a pre-tokenizer. Immutable: any thread may
// use it at once.
class PieceRule {
 public:
  virtual ~PieceRule() = default;
  // Appends what becomes of `piece`, which is UTF-8, not empty, and outlives `out`. `at_beginning`:
  // the whole text begins with it.
  virtual void Cut(std::string_view piece, bool at_beginning, TextPieces& out) const = 0;
};

// `maps_bytes`: a kByteLevel step's pieces are written in the byte-level alphabet; else they hold
// the bytes as they are. INVALID_ARGUMENT, UNIMPLEMENTED: a pattern that can't be used.
absl::StatusOr<std::unique_ptr<const PieceRule>> MakePieceRule(const PreTokenizerStep& step,
                                                               bool maps_bytes);

}  // namespace spillway
