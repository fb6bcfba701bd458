#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/kv_block_pool.h"
#include "scheduler/prefix_index.h"
#include "scheduler/types.h"

namespace spillway {

// The KV blocks of one running sequence. Empty while it waits.
struct BlockTable {
  std::vector<BlockId> blocks;  // token i lives in blocks[i / block_tokens]
  int32_t indexed_blocks = 0;   // how many of the first ones the prefix index has been told of
  PrefixNode indexed_prefix{};  // the prefix that those hold
};

// Which KV block holds what, for whom: the block pool and the prefix index together.
//
// Only full blocks are shared, and nobody writes to a full block, so sharing needs no copies. A
// block that nobody uses stays in the index until it is reused; a sequence frees its blocks from
// the tail, so that the head of a chain, which more prompts have in common, is reused last.
//
// A block may be indexed as soon as the step that computes it is *planned*, if its tokens are
// known: a device runs plans in their order, so a later plan that reads the block finds it written.
// Bursts of one prompt thereby share its blocks from the second plan on, and not only when the
// first plan's results are back. It takes that every plan is launched whole and in order
// (scheduler.h says so).
//
// Not thread-safe. Owned by the scheduler. Calls allocate nothing while a table's blocks fit into
// its reserved capacity.
class KvCache {
 public:
  explicit KvCache(const SchedulerLimits& limits);

  // Blocks that hold the longest cached prefix of `tokens`, first block first. At least the last
  // token is left out: it must be computed so that there is something to sample from. The span
  // holds until the next Match().
  std::span<const BlockId> Match(std::span<const TokenId> tokens, uint64_t salt);

  // How many more blocks must be free to Start() with `match`: those not cached, and those cached
  // that nobody uses, for they count as free.
  int32_t FreeBlocksNeeded(std::span<const BlockId> match, int32_t tokens) const;

  // Gives an empty `table` blocks for all of `tokens`, the cached ones among them. Returns how many
  // tokens are cached. Requires as many free blocks as FreeBlocksNeeded() says.
  int32_t Start(std::span<const TokenId> tokens, uint64_t salt, BlockTable& table);

  // Gives `table` room for `tokens` in all, or returns false and changes nothing.
  bool Grow(BlockTable& table, int32_t tokens);

  // Swaps blocks of a sequence that is still computing `tokens` for ones that others have computed
  // since it started. Its first `computed` tokens are done. Returns how many then are.
  int32_t CatchUp(std::span<const TokenId> tokens, uint64_t salt, int32_t computed,
                  BlockTable& table);

  // Tells the index of every full block among `tokens`: known, and computed by a plan made.
  void Index(std::span<const TokenId> tokens, uint64_t salt, BlockTable& table);

  // Frees all blocks of `table` and empties it.
  void Release(BlockTable& table);

  // Blocks that Release(table) would free, without those in `except`.
  int32_t SoleBlocks(const BlockTable& table, std::span<const BlockId> except) const;

  // Forgets what blocks that nobody uses hold.
  void ForgetUnused();

  int32_t BlocksFor(int64_t tokens) const {
    return static_cast<int32_t>((tokens + block_tokens_ - 1) / block_tokens_);
  }
  int32_t free_count() const { return pool_.free_count(); }
  int32_t block_count() const { return pool_.block_count(); }

 private:
  BlockId TakeBlock();
  std::span<const TokenId> BlockTokens(std::span<const TokenId> tokens, int32_t block) const;
  // How many blocks of a sequence of `tokens` may come from the cache.
  int32_t ReusableBlocks(std::span<const TokenId> tokens) const;

  const int32_t block_tokens_;
  const bool prefix_cache_;
  KvBlockPool pool_;
  PrefixIndex index_;
  std::vector<BlockId> match_;  // Match()'s result
  PrefixNode match_prefix_{};   // what match_ holds
};

}  // namespace spillway
