#include "scheduler/sequence_table.h"

#include "gtest/gtest.h"
#include "tests/scheduler/scheduler_fixture.h"

namespace spillway {
namespace {

TEST(SequenceTableTest, ARecordUsedAgainHasAnotherSerialAndNothingOfTheOldOne) {
  SequenceTable table(1);
  const std::vector<TokenId> prompt = Tokens(3);
  Sequence& old = table.Create({.id = SequenceId{1}, .prompt = prompt, .new_tokens_max = 1}, 1);
  const uint64_t old_serial = old.serial;
  old.samples_pending = 1;
  old.preempted = true;
  table.Erase(old);
  EXPECT_EQ(table.Find(SequenceId{1}), nullptr);

  Sequence& sequence =
      table.Create({.id = SequenceId{2}, .prompt = prompt, .new_tokens_max = 1}, 1);

  EXPECT_NE(sequence.serial, old_serial);
  EXPECT_EQ(sequence.samples_pending, 0);
  EXPECT_FALSE(sequence.preempted);
  EXPECT_EQ(sequence.known(), 3);
  EXPECT_EQ(table.Find(SequenceId{2}), &sequence);
}

TEST(SequenceTableDeathTest, AnIdInUseIsOurOwnBug) {
  SequenceTable table(2);
  const std::vector<TokenId> prompt = Tokens(3);
  const SequenceSpec spec{.id = SequenceId{1}, .prompt = prompt, .new_tokens_max = 1};
  table.Create(spec, 1);
  EXPECT_DEATH(table.Create(spec, 1), "emplace");
}

}  // namespace
}  // namespace spillway
