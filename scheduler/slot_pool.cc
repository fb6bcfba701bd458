#include "scheduler/slot_pool.h"

#include "common/check.h"

namespace spillway {

SlotPool::SlotPool(int32_t slot_count) {
  CHECK(slot_count > 0);
  slots_.resize(static_cast<size_t>(slot_count));
  free_.reserve(slots_.size());
  for (int32_t slot = slot_count - 1; slot >= 0; --slot) free_.push_back(SlotId{slot});
}

std::optional<SlotId> SlotPool::Take() {
  if (free_.empty()) return std::nullopt;
  const SlotId slot = free_.back();
  free_.pop_back();
  slots_[static_cast<size_t>(slot)].taken = true;
  return slot;
}

void SlotPool::Release(SlotId id) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  CHECK(slot.taken);
  slot.taken = false;
  if (slot.rows_in_flight == 0) free_.push_back(id);
}

void SlotPool::RowPlanned(SlotId id) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  CHECK(slot.taken);
  ++slot.rows_in_flight;
}

void SlotPool::RowCompleted(SlotId id) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  CHECK(slot.rows_in_flight > 0);
  --slot.rows_in_flight;
  if (slot.rows_in_flight == 0 && !slot.taken) free_.push_back(id);
}

}  // namespace spillway
