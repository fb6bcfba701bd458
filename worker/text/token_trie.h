#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// Finds the tokens whose text stands at a place, in time that depends on their length and not on
// their number. 9 bytes for each byte of text that they don't share. Immutable: any thread may use
// it at once.
class TokenTrie {
 public:
  // Requires texts that are not empty. Of two equal texts the first counts.
  explicit TokenTrie(std::vector<std::pair<std::string_view, TokenId>> tokens);

  bool empty() const { return tokens_.size() == 1; }

  // Calls `on_match(token, size)` for each token that `text` begins with, the shortest first.
  template <typename OnMatch>
  void ForEachPrefix(std::string_view text, OnMatch on_match) const {
    if (text.empty()) return;
    int32_t node = roots_[static_cast<unsigned char>(text[0])];
    for (size_t size = 1; node >= 0; ++size) {
      if (tokens_[node] >= 0) on_match(tokens_[node], size);
      if (size == text.size()) return;
      node = Child(node, static_cast<unsigned char>(text[size]));
    }
  }

 private:
  // -1: none.
  int32_t Child(int32_t node, unsigned char byte) const;

  // By node, the root first; the children of a node are side by side, sorted by their byte. Those
  // of node n begin at first_children_[n] and end where those of n + 1 begin.
  std::vector<int32_t> first_children_;
  std::vector<unsigned char> bytes_;
  std::vector<TokenId> tokens_;       // -1: none ends here
  std::array<int32_t, 256> roots_{};  // the root's children; -1: none
};

}  // namespace spillway
