#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "router/request_observer.h"
#include "router/store.h"

namespace spillway {

struct LedgerLimits {
  // With what a shard waits before it tells of a running request, under a second in all.
  absl::Duration write_every = absl::Milliseconds(400);
  size_t rows_max = 16384;   // that wait to be written; what has no row among them then is lost
  int64_t days_known = 100;  // whose costs are kept in memory
};

// The books: how much each token used, of which service, of which upstream. It hears of requests as
// they go on and end, and a thread of its own adds what it heard to the store.
//
// While the store is locked or the disk full nothing waits for it: what can't be written is kept,
// summed up by token, service, upstream and minute, and the log and metrics say so. Nothing is
// written twice, even where a write fails that was done.
//
// Thread-safe: all shards share it.
class UsageLedger : public RequestObserver {
 public:
  // `writer` is unique to this process. The references must outlive it; `store` is asked on its
  // thread alone.
  UsageLedger(const LedgerLimits& limits, std::string writer, const Clock& clock,
              MetricRegistry& metrics, Store& store);
  // Writes what it has, if that can be done at once.
  ~UsageLedger() override;

  // What the books say so far, for CostOf and UsedToday. Before Start().
  absl::Status Load();
  void Start();

  void OnRequestEnd(const RequestSummary& summary) override EXCLUDES(mutex_);
  void OnProgress(const RequestProgress& progress) override EXCLUDES(mutex_);

  // What each token had used of the present day when Load() was called, all upstreams together.
  const std::map<std::string, UsageCounts>& past() const { return past_; }

  // What a token's requests cost in the days from `first` to `last`, in all currencies together:
  // who wants one number has one currency.
  int64_t CostOf(std::string_view token_id, int64_t first_day, int64_t last_day) const
      EXCLUDES(mutex_);

  // One turn of its thread: writes what there is. False: the store didn't take it.
  bool WriteOnce() EXCLUDES(mutex_);

 private:
  using Rows = std::map<UsageKey, UsageCounts>;

  void Add(std::string_view token_id, std::string_view service, std::string_view provider,
           std::string_view currency, const UsageCounts& counts) EXCLUDES(mutex_);
  void Run();

  const LedgerLimits limits_;
  const Clock& clock_;
  Store& store_;
  Gauge& unwritten_rows_;
  Counter& write_failures_;
  Counter& lost_requests_;
  std::map<std::string, UsageCounts> past_;

  // The writing thread's own.
  UsageBatch batch_;  // that is being written; kept as it is until it has been
  bool failing_ = false;

  mutable Mutex mutex_;
  CondVar closing_changed_;
  bool closing_ GUARDED_BY(mutex_) = false;
  Rows rows_ GUARDED_BY(mutex_);  // for the next batch
  // By token and day.
  std::map<std::string, std::map<int64_t, int64_t>, std::less<>> costs_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace spillway
