#include "scheduler/kv_block_pool.h"

#include "common/check.h"

namespace spillway {

KvBlockPool::KvBlockPool(int32_t block_count) : anchor_(block_count) {
  CHECK(block_count > 0);
  users_.assign(static_cast<size_t>(block_count), 0);
  ring_.assign(static_cast<size_t>(block_count) + 1, Link{});
  ring_[static_cast<size_t>(anchor_)] = {.previous = anchor_, .next = anchor_};
  for (int32_t block = block_count - 1; block >= 0; --block) InsertAfter(anchor_, block);
}

BlockId KvBlockPool::Take() {
  CHECK(free_count_ > 0);
  const int32_t block = ring_[static_cast<size_t>(anchor_)].next;
  Unlink(block);
  users_[static_cast<size_t>(block)] = 1;
  return BlockId{block};
}

void KvBlockPool::Share(BlockId block) {
  if (users(block) == 0) Unlink(static_cast<int32_t>(block));
  ++users_[static_cast<size_t>(block)];
}

void KvBlockPool::Release(BlockId block, BlockReuse reuse) {
  int32_t& users = users_[static_cast<size_t>(block)];
  CHECK(users > 0);
  if (--users > 0) return;
  const int32_t last = ring_[static_cast<size_t>(anchor_)].previous;
  InsertAfter(reuse == BlockReuse::kFirst ? anchor_ : last, static_cast<int32_t>(block));
}

void KvBlockPool::InsertAfter(int32_t position, int32_t block) {
  const int32_t next = ring_[static_cast<size_t>(position)].next;
  ring_[static_cast<size_t>(block)] = {.previous = position, .next = next};
  ring_[static_cast<size_t>(position)].next = block;
  ring_[static_cast<size_t>(next)].previous = block;
  ++free_count_;
}

void KvBlockPool::Unlink(int32_t block) {
  const Link link = ring_[static_cast<size_t>(block)];
  ring_[static_cast<size_t>(link.previous)].next = link.next;
  ring_[static_cast<size_t>(link.next)].previous = link.previous;
  --free_count_;
}

}  // namespace spillway
