#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/types.h"

namespace spillway {

// Byte-pair encoding of one piece: the best-ranked adjacent pair is merged first, the leftmost of
// equals, until no pair is in the table (Sennrich et al., 2016; ties as in Hugging Face
// tokenizers).
//
// Immutable once all merges are added: any thread may use it at once.
class BytePairMerger {
 public:
  // `left right` become `merged`. Ranks grow with each call; of two equal pairs the last counts, as
  // in tokenizers.
  void Add(TokenId left, TokenId right, TokenId merged);

  // Merges `tokens` in place. Short pieces by scanning, long ones in O(n log n) by a heap.
  void Merge(std::vector<TokenId>& tokens) const;

 private:
  static constexpr size_t kScanMax = 32;  // tokens; beyond it the heap is faster
  static constexpr uint32_t kNoRank = UINT32_MAX;

  struct Pair {
    uint32_t rank = kNoRank;
    TokenId merged = -1;
  };

  Pair Find(TokenId left, TokenId right) const;
  void MergeByScan(std::vector<TokenId>& tokens) const;
  void MergeByHeap(std::vector<TokenId>& tokens) const;

  absl::flat_hash_map<uint64_t, Pair> pairs_;  // by left << 32 | right
  uint32_t next_rank_ = 0;
};

}  // namespace spillway
