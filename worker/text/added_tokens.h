#pragma once

#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "scheduler/types.h"
#include "worker/text/code_point_set.h"
#include "worker/text/labeled_text.h"
#include "worker/text/token_trie.h"
#include "worker/text/tokenizer_spec.h"

namespace spillway {

// Finds tokens that are no part of the model's vocabulary proper: control, unknown and user-defined
// ones. From left to right the longest at each place (tokenizers' AddedVocabulary::find_matches).
// Control and unknown tokens only where all their bytes have one label that is not 0; where the
// longest is not allowed for that, a shorter one is taken.
//
// Immutable: any thread may use it at once.
class AddedTokens {
 public:
  struct Entry {
    std::string_view text;  // as it is looked for
    AddedToken flags;
    bool needs_trust = false;
  };
  explicit AddedTokens(const std::vector<Entry>& entries);

  bool empty() const { return trie_.empty(); }
  bool any_needs_trust() const { return any_needs_trust_; }

  // A part of a text: a token, or what is none.
  struct Part {
    size_t begin = 0;
    size_t end = 0;
    TokenId token = -1;
  };
  // `labels` has one for each byte, or none at all: then nothing is trusted.
  std::vector<Part> Split(std::string_view text, const std::vector<uint32_t>& labels) const;

 private:
  struct Match {
    size_t size = 0;  // 0: none
    size_t entry = 0;
  };

  Match LongestAt(std::string_view text, const std::vector<uint32_t>& labels, size_t at) const;
  bool IsInsideWord(std::string_view text, size_t begin, size_t end) const;
  // Where the white space that ends at `end`, but not before `low`, begins.
  size_t SpacesBefore(std::string_view text, size_t end, size_t low) const;
  size_t SpacesAfter(std::string_view text, size_t begin) const;

  std::vector<AddedToken> flags_;  // by entry
  std::vector<bool> needs_trust_;  // by entry
  bool any_needs_trust_ = false;
  const TokenTrie trie_;  // of entries
  const CodePointBitmap spaces_;
  const CodePointBitmap word_;
};

}  // namespace spillway
