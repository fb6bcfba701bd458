#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "scheduler/sequence.h"
#include "scheduler/types.h"

namespace spillway {

// Owns the records of all sequences, waiting and running. A record's address is stable, and is used
// again after its sequence has ended; `serial` tells the two apart.
//
// A record keeps the memory of its vectors, so that a long-lived process stops allocating: at most
// sequence_tokens_max token ids and their block ids for each record.
//
// Not thread-safe. Owned by the scheduler.
class SequenceTable {
 public:
  explicit SequenceTable(int32_t sequences_max);

  // A record with `spec` in it. Requires that the id is not in use and size() < sequences_max.
  Sequence& Create(const SequenceSpec& spec, int32_t blocks_max);

  // Ends a record's use. Requires that it holds no blocks.
  void Erase(Sequence& sequence);

  // Null when unknown.
  Sequence* Find(SequenceId id);

  int32_t size() const { return static_cast<int32_t>(by_id_.size()); }

 private:
  std::vector<Sequence> records_;
  std::vector<Sequence*> unused_;
  std::unordered_map<SequenceId, Sequence*> by_id_;  // looked up, never walked
  uint64_t serials_given_ = 0;
};

}  // namespace spillway
