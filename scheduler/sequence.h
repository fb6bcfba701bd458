#pragma once

#include <cstdint>
#include <span>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "scheduler/kv_cache.h"
#include "scheduler/types.h"

namespace spillway {

// One sequence inside the scheduler, from Add() to its end.
//
//   position   0            prompt_tokens         tokens.size()        length()
//   token      |-- prompt --|-- sampled, known ---|-- being sampled ---|
//   KV         |-- planned: written by steps done or in flight --|
//                                                            planned_end
//
// A run is the time from a start to the next preemption or the end: blocks and slot belong to it.
struct Sequence {
  // What the client asked for.
  SequenceId id{};
  int32_t prompt_tokens = 0;
  int32_t new_tokens_max = 0;
  int32_t priority = 0;
  TenantId tenant{};  // unused as yet
  absl::Time arrival;
  absl::Time deadline;
  uint64_t cache_salt = 0;

  // Since Add().
  uint64_t serial = 0;               // counts Add()s; 0: this record is not in use
  std::vector<TokenId> tokens = {};  // known: the prompt and what was sampled since
  int32_t samples_pending = 0;       // samples that plans in flight will bring
  bool started = false;              // the plan's `started` has told of it
  bool preempted = false;            // has been at least once: goes first among its priority
  uint64_t preempted_in_plan = 0;
  int32_t run = 0;             // counts starts
  int64_t waiting_tokens = 0;  // its share of SchedulerLoad::waiting_prompt_tokens

  // In a run only.
  bool running = false;
  SlotId slot{};
  BlockTable table = {};
  int32_t planned_end = 0;

  int32_t known() const { return static_cast<int32_t>(tokens.size()); }
  int32_t length() const { return known() + samples_pending; }

  // Tokens that the next slices are to compute. 0 when the last sample that it may have is already
  // in flight, since nobody needs the KV of the last token. 1 is decoding, more is prefill.
  int32_t tokens_to_plan() const {
    return length() - prompt_tokens == new_tokens_max ? 0 : length() - planned_end;
  }
};

// The order of those that run: who gets budget and blocks first, and is preempted last.
inline bool GoesBefore(const Sequence& a, const Sequence& b) {
  return std::tie(b.priority, a.arrival, a.serial) < std::tie(a.priority, b.arrival, b.serial);
}

}  // namespace spillway
