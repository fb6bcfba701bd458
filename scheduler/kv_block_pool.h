#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// Where a block that has lost its last user queues up for reuse.
enum class BlockReuse {
  kFirst,  // its content is worth nothing
  kLast,   // the prefix index knows its content: a later sequence may want it
};

// Hands out KV block ids and counts the users of each.
//
// The pool owns ids, not memory: the executor owns the tensors that the ids index. A block without
// users is free, and keeps its content until Take() hands it out again, least recently freed first.
//
// Not thread-safe. Owned by KvCache. No call allocates.
class KvBlockPool {
 public:
  explicit KvBlockPool(int32_t block_count);  // Requires block_count > 0.

  KvBlockPool(const KvBlockPool&) = delete;
  KvBlockPool& operator=(const KvBlockPool&) = delete;

  // The free block whose turn it is to be reused, with one user. Requires free_count() > 0.
  BlockId Take();

  // Adds a user to `block`, which may be free and then no longer is.
  void Share(BlockId block);

  // Drops one user of `block`. The last one frees it. Requires that it has one.
  void Release(BlockId block, BlockReuse reuse);

  int32_t users(BlockId block) const { return users_[static_cast<size_t>(block)]; }
  int32_t block_count() const { return static_cast<int32_t>(users_.size()); }
  int32_t free_count() const { return free_count_; }

 private:
  // The free blocks are a ring through `ring_`, in order of reuse; its last element is the anchor.
  struct Link {
    int32_t previous = 0;
    int32_t next = 0;
  };

  void InsertAfter(int32_t position, int32_t block);
  void Unlink(int32_t block);

  std::vector<int32_t> users_;  // [block]; 0 exactly when the block is in the ring
  std::vector<Link> ring_;      // [block], then the anchor
  const int32_t anchor_;
  int32_t free_count_ = 0;
};

}  // namespace spillway
