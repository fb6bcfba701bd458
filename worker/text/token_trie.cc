#include "worker/text/token_trie.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {
namespace {

bool Before(const std::pair<unsigned char, int32_t>& child, unsigned char byte) {
  return child.first < byte;
}

}  // namespace

void TokenTrie::Add(std::string_view text, TokenId token) {
  CHECK(!text.empty());
  int32_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      auto& children = nodes_[node].children;
      children.insert(std::lower_bound(children.begin(), children.end(), byte, Before),
                      {byte, child});
      nodes_.emplace_back();
    }
    node = child;
  }
  if (nodes_[node].token < 0) nodes_[node].token = token;
}

int32_t TokenTrie::Child(int32_t node, unsigned char byte) const {
  const auto& children = nodes_[node].children;
  const auto child = std::lower_bound(children.begin(), children.end(), byte, Before);
  return child != children.end() && child->first == byte ? child->second : -1;
}

}  // namespace spillway
