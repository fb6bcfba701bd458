#include "scheduler/prefix_index.h"

#include <algorithm>
#include <bit>

#include "common/check.h"

namespace spillway {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

PrefixIndex::PrefixIndex(int32_t block_count, int32_t block_tokens) : block_tokens_(block_tokens) {
  CHECK(block_count > 0);
  CHECK(block_tokens > 0);
  const auto blocks = static_cast<size_t>(block_count);
  records_.resize(blocks);
  tokens_.resize(blocks * static_cast<size_t>(block_tokens));
  buckets_.assign(std::bit_ceil(2 * blocks), kNone);
}

std::optional<PrefixIndex::Entry> PrefixIndex::Find(PrefixNode parent, uint64_t salt,
                                                    std::span<const TokenId> tokens) const {
  const int32_t block = FindInBucket(Hash(parent, salt, tokens), parent, salt, tokens);
  if (block == kNone) return std::nullopt;
  return Entry{.node = records_[static_cast<size_t>(block)].node, .block = BlockId{block}};
}

PrefixNode PrefixIndex::Insert(PrefixNode parent, uint64_t salt, std::span<const TokenId> tokens,
                               BlockId block) {
  CHECK(!Contains(block));
  CHECK(static_cast<int32_t>(tokens.size()) == block_tokens_);
  const uint64_t hash = Hash(parent, salt, tokens);
  const int32_t first = FindInBucket(hash, parent, salt, tokens);
  if (first != kNone) return records_[static_cast<size_t>(first)].node;

  const auto index = static_cast<size_t>(block);
  int32_t& bucket = buckets_[BucketOf(hash)];
  records_[index] = {.node = PrefixNode{++nodes_given_},
                     .parent = parent,
                     .salt = salt,
                     .hash = hash,
                     .next_in_bucket = bucket};
  bucket = static_cast<int32_t>(block);
  std::ranges::copy(tokens, tokens_.begin() + static_cast<ptrdiff_t>(index * tokens.size()));
  ++size_;
  return records_[index].node;
}

void PrefixIndex::Erase(BlockId block) {
  if (!Contains(block)) return;
  Record& record = records_[static_cast<size_t>(block)];
  int32_t* link = &buckets_[BucketOf(record.hash)];
  while (*link != static_cast<int32_t>(block)) {
    link = &records_[static_cast<size_t>(*link)].next_in_bucket;
  }
  *link = record.next_in_bucket;
  record = Record{};
  --size_;
}

uint64_t PrefixIndex::Hash(PrefixNode parent, uint64_t salt, std::span<const TokenId> tokens) {
  uint64_t hash = Mix(static_cast<uint64_t>(parent) ^ Mix(salt));
  for (const TokenId token : tokens) hash = Mix(hash ^ static_cast<uint32_t>(token));
  return hash;
}

int32_t PrefixIndex::FindInBucket(uint64_t hash, PrefixNode parent, uint64_t salt,
                                  std::span<const TokenId> tokens) const {
  for (int32_t block = buckets_[BucketOf(hash)]; block != kNone;
       block = records_[static_cast<size_t>(block)].next_in_bucket) {
    const Record& record = records_[static_cast<size_t>(block)];
    if (record.hash == hash && record.parent == parent && record.salt == salt &&
        std::ranges::equal(TokensOf(block), tokens)) {
      return block;
    }
  }
  return kNone;
}

std::span<const TokenId> PrefixIndex::TokensOf(int32_t block) const {
  const auto count = static_cast<size_t>(block_tokens_);
  return std::span(tokens_).subspan(static_cast<size_t>(block) * count, count);
}

}  // namespace spillway
