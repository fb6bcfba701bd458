#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/text/byte_alphabet.h"
#include "worker/text/piece_rules.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Cuts a text into the pieces that tokens never cross, by rules that are applied one after the
// other, each to the pieces that the one before left.
//
// Bytes that are not UTF-8 are pieces of their own, which no rule touches: the valid runs between
// them are cut as if each were a text by itself.
//
// Immutable after Create(): any thread may use it at once.
class PreTokenizer {
 public:
  // `maps_bytes`: if there is a kByteLevel step, the pieces are written in the byte-level alphabet;
  // else they hold the bytes as they are. INVALID_ARGUMENT, UNIMPLEMENTED: a pattern that can't be
  // used.
  static absl::StatusOr<PreTokenizer> Create(std::span<const PreTokenizerStep> steps,
                                             bool maps_bytes);

  // The pieces of `text`, which outlives them. `at_beginning`: nothing stood before it.
  TextPieces Split(std::string_view text, bool at_beginning) const;

 private:
  PreTokenizer(std::vector<std::unique_ptr<const PieceRule>> rules, bool maps_bytes)
      : rules_(std::move(rules)), maps_bytes_(maps_bytes) {}

  std::vector<std::unique_ptr<const PieceRule>> rules_;
  bool maps_bytes_;
  ByteAlphabet alphabet_;
};

}  // namespace spillway
