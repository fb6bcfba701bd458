#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// Identity of one whole prefix: a number that is given once and never again. The default is the
// empty prefix.
enum class PrefixNode : uint64_t {};

// Which block holds the KV of which prefix.
//
// A block's KV depends on all tokens before it, so its key is the chain (node of the prefix before
// it, its own tokens, salt). Hashes only find the bucket: Find() compares the whole key, and since
// a node's number is never reused, equal keys mean equal prefixes by induction. So no collision can
// serve another prompt's KV: tokens chosen to collide only make a bucket slow. The price is
// block_tokens * 4 bytes a block, and a full comparison of one block on every hit.
// The idea of chained block hashes: vLLM, "Automatic Prefix Caching".
//
// A block whose predecessor was erased can no longer be found; its own entry stays until erased.
//
// Not thread-safe. Owned by KvCache. No call allocates; a call costs one hash of a block.
class PrefixIndex {
 public:
  struct Entry {
    PrefixNode node{};
    BlockId block{};
  };

  PrefixIndex(int32_t block_count, int32_t block_tokens);

  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // The block that holds `tokens` (one block of them) after the prefix `parent`.
  std::optional<Entry> Find(PrefixNode parent, uint64_t salt,
                            std::span<const TokenId> tokens) const;

  // Enters `block` as the one that holds `tokens` after `parent`, and returns the node of the
  // prefix that ends there. Of several blocks with one content the first stays: then `block` is not
  // entered, and the node returned is the first one's. Requires that `block` is not entered.
  PrefixNode Insert(PrefixNode parent, uint64_t salt, std::span<const TokenId> tokens,
                    BlockId block);

  // Forgets what `block` holds. Does nothing where it is not entered.
  void Erase(BlockId block);

  bool Contains(BlockId block) const {
    return records_[static_cast<size_t>(block)].node != PrefixNode{};
  }
  int32_t size() const { return size_; }

 private:
  static constexpr int32_t kNone = -1;

  struct Record {
    PrefixNode node{};  // the default: not entered
    PrefixNode parent{};
    uint64_t salt = 0;
    uint64_t hash = 0;
    int32_t next_in_bucket = kNone;
  };

  static uint64_t Hash(PrefixNode parent, uint64_t salt, std::span<const TokenId> tokens);
  int32_t FindInBucket(uint64_t hash, PrefixNode parent, uint64_t salt,
                       std::span<const TokenId> tokens) const;
  size_t BucketOf(uint64_t hash) const { return hash & (buckets_.size() - 1); }
  std::span<const TokenId> TokensOf(int32_t block) const;

  const int32_t block_tokens_;
  std::vector<Record> records_;   // [block]
  std::vector<TokenId> tokens_;   // [block, block_tokens]
  std::vector<int32_t> buckets_;  // first block of each; a power of two of them
  uint64_t nodes_given_ = 0;
  int32_t size_ = 0;
};

}  // namespace spillway
