#include "worker/text/token_trie.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, TokenId>> tokens) {
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // The tokens below a node, and how many bytes lead there. Nodes are numbered in this order.
  struct Below {
    size_t begin;
    size_t end;
    size_t depth;
  };
  std::vector<Below> nodes = {{0, tokens.size(), 0}};
  bytes_.push_back(0);
  for (size_t node = 0; node < nodes.size(); ++node) {
    auto [begin, end, depth] = nodes[node];
    tokens_.push_back(-1);
    for (; begin < end && tokens[begin].first.size() == depth; ++begin) {
      CHECK(depth > 0);
      if (tokens_.back() < 0) tokens_.back() = tokens[begin].second;
    }
    first_children_.push_back(static_cast<int32_t>(nodes.size()));
    while (begin < end) {
      const char byte = tokens[begin].first[depth];
      size_t next = begin;
      while (next < end && tokens[next].first[depth] == byte) ++next;
      nodes.push_back({begin, next, depth + 1});
      bytes_.push_back(static_cast<unsigned char>(byte));
      begin = next;
    }
  }
  first_children_.push_back(static_cast<int32_t>(nodes.size()));
  for (int byte = 0; byte < 256; ++byte) roots_[byte] = Child(0, static_cast<unsigned char>(byte));
}

int32_t TokenTrie::Child(int32_t node, unsigned char byte) const {
  const auto begin = bytes_.begin() + first_children_[node];
  const auto end = bytes_.begin() + first_children_[node + 1];
  const auto child = std::lower_bound(begin, end, byte);
  return child != end && *child == byte ? static_cast<int32_t>(child - bytes_.begin()) : -1;
}

}  // namespace spillway
