#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// Hands out the device's per-sequence slots.
//
// A slot given back while a plan in flight still has a row in it is handed out only after that plan
// has completed, so that no two sequences' rows of one slot are ever in flight together. The price:
// a sequence that stops by surprise holds its slot for one step more.
//
// Not thread-safe. No call but the constructor allocates.
class SlotPool {
 public:
  explicit SlotPool(int32_t slot_count);

  // nullopt when every slot is taken or still in flight.
  std::optional<SlotId> Take();
  // Requires that the slot is taken.
  void Release(SlotId slot);

  // A plan has a row in the slot; that plan has completed.
  void RowPlanned(SlotId slot);
  void RowCompleted(SlotId slot);

 private:
  struct Slot {
    bool taken = false;
    int8_t rows_in_flight = 0;
  };

  std::vector<Slot> slots_;
  std::vector<SlotId> free_;  // neither taken nor in flight; a stack
};

}  // namespace spillway
