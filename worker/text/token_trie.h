#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// Finds the tokens whose text stands at a place, in time that depends on their length and not on
// their number. Immutable once all are added: any thread may use it at once.
class TokenTrie {
 public:
  TokenTrie() : nodes_(1) {}

  // Requires a text that is not empty. Of two equal texts the first counts.
  void Add(std::string_view text, TokenId token);

  bool empty() const { return nodes_.size() == 1; }

  // Calls `on_match(token, size)` for each token that `text` begins with, the shortest first.
  template <typename OnMatch>
  void ForEachPrefix(std::string_view text, OnMatch on_match) const {
    int32_t node = 0;
    for (size_t size = 1; size <= text.size(); ++size) {
      node = Child(node, static_cast<unsigned char>(text[size - 1]));
      if (node < 0) return;
      if (nodes_[node].token >= 0) on_match(nodes_[node].token, size);
    }
  }

 private:
  struct Node {
    std::vector<std::pair<unsigned char, int32_t>> children;  // sorted by byte
    TokenId token = -1;
  };

  // -1: none.
  int32_t Child(int32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;  // the root first
};

}  // namespace spillway
