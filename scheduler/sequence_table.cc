#include "scheduler/sequence_table.h"

#include <utility>

#include "common/check.h"

namespace spillway {

SequenceTable::SequenceTable(int32_t sequences_max) {
  records_.resize(static_cast<size_t>(sequences_max));
  unused_.reserve(records_.size());
  for (auto it = records_.rbegin(); it != records_.rend(); ++it) unused_.push_back(&*it);
  by_id_.reserve(records_.size());
}

Sequence& SequenceTable::Create(const SequenceSpec& spec, int32_t blocks_max) {
  CHECK(!unused_.empty());
  Sequence& sequence = *unused_.back();
  CHECK(by_id_.emplace(spec.id, &sequence).second);
  unused_.pop_back();

  std::vector<TokenId> tokens = std::move(sequence.tokens);
  BlockTable table = std::move(sequence.table);
  sequence = Sequence{.id = spec.id,
                      .prompt_tokens = static_cast<int32_t>(spec.prompt.size()),
                      .new_tokens_max = spec.new_tokens_max,
                      .priority = spec.priority,
                      .tenant = spec.tenant,
                      .arrival = spec.arrival,
                      .deadline = spec.deadline,
                      .cache_salt = spec.cache_salt,
                      .serial = ++serials_given_};
  tokens.reserve(spec.prompt.size() + static_cast<size_t>(spec.new_tokens_max));
  tokens.assign(spec.prompt.begin(), spec.prompt.end());
  table.blocks.reserve(static_cast<size_t>(blocks_max));
  sequence.tokens = std::move(tokens);
  sequence.table = std::move(table);
  return sequence;
}

void SequenceTable::Erase(Sequence& sequence) {
  CHECK(sequence.table.blocks.empty());
  CHECK(by_id_.erase(sequence.id) == 1);
  sequence.serial = 0;
  unused_.push_back(&sequence);
}

Sequence* SequenceTable::Find(SequenceId id) {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

}  // namespace spillway
