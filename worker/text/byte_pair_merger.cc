#include "worker/text/byte_pair_merger.h"

#include <algorithm>
#include <functional>
#include <queue>

namespace spillway {
namespace {

uint64_t KeyOf(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

void BytePairMerger::Add(TokenId left, TokenId right, TokenId merged) {
  pairs_.insert_or_assign(KeyOf(left, right), Pair{next_rank_++, merged});
}

BytePairMerger::Pair BytePairMerger::Find(TokenId left, TokenId right) const {
  const auto found = pairs_.find(KeyOf(left, right));
  return found == pairs_.end() ? Pair{} : found->second;
}

void BytePairMerger::Merge(std::vector<TokenId>& tokens) const {
  if (tokens.size() <= kScanMax) {
    MergeByScan(tokens);
  } else {
    MergeByHeap(tokens);
  }
}

void BytePairMerger::MergeByScan(std::vector<TokenId>& tokens) const {
  Pair pairs[kScanMax];  // pairs[i]: of tokens i and i + 1
  for (size_t i = 0; i + 1 < tokens.size(); ++i) pairs[i] = Find(tokens[i], tokens[i + 1]);
  while (tokens.size() > 1) {
    Pair* const end = pairs + tokens.size() - 1;
    Pair* const best =
        std::min_element(pairs, end, [](const Pair& a, const Pair& b) { return a.rank < b.rank; });
    if (best->rank == kNoRank) return;
    const auto at = best - pairs;
    tokens[at] = best->merged;
    tokens.erase(tokens.begin() + at + 1);
    std::copy(best + 1, end, best);
    if (at > 0) pairs[at - 1] = Find(tokens[at - 1], tokens[at]);
    if (at + 1 < std::ssize(tokens)) pairs[at] = Find(tokens[at], tokens[at + 1]);
  }
}

// Tokens are a doubly linked list over the positions that are left. The heap holds rank << 32 |
// position, which orders as the merges must go; an entry is out of date when the pair that now
// begins at its position has another rank.
void BytePairMerger::MergeByHeap(std::vector<TokenId>& tokens) const {
  const auto count = static_cast<int64_t>(tokens.size());
  std::vector<int64_t> next(count);
  std::vector<int64_t> previous(count);
  std::vector<Pair> pairs(count);
  std::vector<uint64_t> entries;
  entries.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
    if (i + 1 < count) pairs[i] = Find(tokens[i], tokens[i + 1]);
    if (pairs[i].rank != kNoRank) entries.push_back(uint64_t{pairs[i].rank} << 32 | i);
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap(std::greater<>(),
                                                                            std::move(entries));
  const auto update = [&](int64_t at) {
    pairs[at] = next[at] < count ? Find(tokens[at], tokens[next[at]]) : Pair{};
    if (pairs[at].rank != kNoRank) heap.push(uint64_t{pairs[at].rank} << 32 | at);
  };
  while (!heap.empty()) {
    const auto rank = static_cast<uint32_t>(heap.top() >> 32);
    const auto at = static_cast<int64_t>(heap.top() & UINT32_MAX);
    heap.pop();
    if (pairs[at].rank != rank) continue;
    tokens[at] = pairs[at].merged;
    const int64_t gone = next[at];
    pairs[gone] = {};
    next[at] = next[gone];
    if (next[at] < count) previous[next[at]] = at;
    update(at);
    if (previous[at] >= 0) update(previous[at]);
  }
  size_t kept = 0;
  for (int64_t i = 0; i < count; i = next[i]) tokens[kept++] = tokens[i];
  tokens.resize(kept);
}

}  // namespace spillway
