#include "scheduler/kv_cache.h"

#include <optional>
#include <ranges>

#include "common/check.h"

namespace spillway {

KvCache::KvCache(const SchedulerLimits& limits)
    : block_tokens_(limits.block_tokens),
      prefix_cache_(limits.prefix_cache),
      pool_(limits.block_count),
      index_(limits.block_count, limits.block_tokens) {
  match_.reserve(static_cast<size_t>(limits.block_count));
}

std::span<const BlockId> KvCache::Match(std::span<const TokenId> tokens, uint64_t salt) {
  match_.clear();
  match_prefix_ = PrefixNode{};
  const int32_t blocks_max = prefix_cache_ ? ReusableBlocks(tokens) : 0;
  for (int32_t block = 0; block < blocks_max; ++block) {
    const auto found = index_.Find(match_prefix_, salt, BlockTokens(tokens, block));
    if (!found.has_value()) break;
    match_.push_back(found->block);
    match_prefix_ = found->node;
  }
  return match_;
}

int32_t KvCache::FreeBlocksNeeded(std::span<const BlockId> match, int32_t tokens) const {
  int32_t needed = BlocksFor(tokens);
  for (const BlockId block : match) {
    if (pool_.users(block) > 0) --needed;
  }
  return needed;
}

int32_t KvCache::Start(std::span<const TokenId> tokens, uint64_t salt, BlockTable& table) {
  CHECK(table.blocks.empty());
  Match(tokens, salt);
  // All cached blocks are claimed before any is taken, or taking could reuse one of them.
  for (const BlockId block : match_) {
    pool_.Share(block);
    table.blocks.push_back(block);
  }
  table.indexed_blocks = static_cast<int32_t>(match_.size());
  table.indexed_prefix = match_prefix_;
  CHECK(Grow(table, static_cast<int32_t>(tokens.size())));
  return table.indexed_blocks * block_tokens_;
}

bool KvCache::Grow(BlockTable& table, int32_t tokens) {
  const int32_t missing = BlocksFor(tokens) - static_cast<int32_t>(table.blocks.size());
  if (missing > pool_.free_count()) return false;
  for (int32_t i = 0; i < missing; ++i) table.blocks.push_back(TakeBlock());
  return true;
}

int32_t KvCache::CatchUp(std::span<const TokenId> tokens, uint64_t salt, int32_t computed,
                         BlockTable& table) {
  if (!prefix_cache_ || computed % block_tokens_ != 0) return computed;
  int32_t block = computed / block_tokens_;
  CHECK(table.indexed_blocks == block);
  for (const int32_t blocks_max = ReusableBlocks(tokens); block < blocks_max; ++block) {
    const auto found = index_.Find(table.indexed_prefix, salt, BlockTokens(tokens, block));
    if (!found.has_value()) break;
    BlockId& own = table.blocks[static_cast<size_t>(block)];
    pool_.Share(found->block);
    pool_.Release(own, BlockReuse::kFirst);  // Nothing was ever written to it.
    own = found->block;
    table.indexed_prefix = found->node;
    ++table.indexed_blocks;
  }
  return block * block_tokens_;
}

void KvCache::Index(std::span<const TokenId> tokens, uint64_t salt, BlockTable& table) {
  if (!prefix_cache_) return;
  const auto full_blocks = static_cast<int32_t>(tokens.size()) / block_tokens_;
  for (int32_t& block = table.indexed_blocks; block < full_blocks; ++block) {
    table.indexed_prefix = index_.Insert(table.indexed_prefix, salt, BlockTokens(tokens, block),
                                         table.blocks[static_cast<size_t>(block)]);
  }
}

void KvCache::Release(BlockTable& table) {
  for (const BlockId block : table.blocks | std::views::reverse) {
    pool_.Release(block, index_.Contains(block) ? BlockReuse::kLast : BlockReuse::kFirst);
  }
  table.blocks.clear();
  table.indexed_blocks = 0;
  table.indexed_prefix = PrefixNode{};
}

int32_t KvCache::SoleBlocks(const BlockTable& table, std::span<const BlockId> except) const {
  int32_t sole = 0;
  for (size_t i = 0; i < table.blocks.size(); ++i) {
    // A block holds the same positions for everybody, so it can only be in the same place there.
    const bool excepted = i < except.size() && except[i] == table.blocks[i];
    if (pool_.users(table.blocks[i]) == 1 && !excepted) ++sole;
  }
  return sole;
}

void KvCache::ForgetUnused() {
  for (int32_t block = 0; block < pool_.block_count(); ++block) {
    if (pool_.users(BlockId{block}) == 0) index_.Erase(BlockId{block});
  }
}

BlockId KvCache::TakeBlock() {
  const BlockId block = pool_.Take();
  index_.Erase(block);
  return block;
}

std::span<const TokenId> KvCache::BlockTokens(std::span<const TokenId> tokens,
                                              int32_t block) const {
  const auto count = static_cast<size_t>(block_tokens_);
  return tokens.subspan(static_cast<size_t>(block) * count, count);
}

int32_t KvCache::ReusableBlocks(std::span<const TokenId> tokens) const {
  return (static_cast<int32_t>(tokens.size()) - 1) / block_tokens_;
}

}  // namespace spillway
