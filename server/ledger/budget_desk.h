#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "router/budget.h"
#include "router/store.h"

namespace spillway {

struct BudgetLimits {
  size_t asks_max = 1024;          // that wait; then the next is refused
  size_t settlements_max = 65536;  // that wait for the store; then the oldest is left to expire
  absl::Duration reservation_life = absl::Minutes(30);  // a provider's request ends in five
  absl::Duration expire_every = absl::Minutes(1);
  absl::Duration retry_every = absl::Seconds(1);  // of settlements that the store didn't take
};

// A Budget in a store. Its thread writes all that has been asked for since its last turn in one
// transaction, so that many requests share the wait for the disk.
//
// If the store takes no reservation nothing that costs money is sent: the asks are refused. What
// can't be settled waits in memory; if that is lost, too, the reservation expires as spent in full.
class BudgetDesk : public Budget {
 public:
  // The references must outlive it; `store` is asked on its thread alone.
  BudgetDesk(const BudgetLimits& limits, const Clock& clock, MetricRegistry& metrics, Store& store);
  // Stops, and writes what it can.
  ~BudgetDesk() override;
  void Start();
  // Ends its thread and refuses what waits, as whatever is asked for later. What is settled later
  // is written by the destructor.
  void Stop() EXCLUDES(mutex_);

  void Reserve(MoneyAsk ask, Done done) override EXCLUDES(mutex_);
  void Settle(std::string id, int64_t cost_nano) override EXCLUDES(mutex_);

  // One turn of its thread.
  void WorkOnce() EXCLUDES(mutex_);

 private:
  struct Waiting {
    MoneyAsk ask;
    Done done;
  };

  void Answer(std::vector<Waiting> asks);
  void WriteSettlements();
  void Expire();
  void Run();

  const BudgetLimits limits_;
  const Clock& clock_;
  Store& store_;
  Counter& refused_;
  Counter& expired_;
  Gauge& unsettled_;

  // The thread's own.
  std::vector<MoneySettlement> settling_;
  absl::Time next_expiry_ = absl::InfinitePast();
  bool failing_ = false;

  Mutex mutex_;
  CondVar changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  std::vector<Waiting> asks_ GUARDED_BY(mutex_);
  std::vector<MoneySettlement> settlements_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace spillway
