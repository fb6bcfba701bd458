#include "router/replica_metrics.h"

#include <algorithm>
#include <utility>

namespace spillway {

void ReplicaMetrics::Total::Set(uint64_t total) {
  // Fewer than before: another process counts now, from zero.
  const uint64_t before = total < told ? 0 : told;
  counter->Add(static_cast<double>(total - before));
  told = total;
}

void ReplicaMetrics::Set(const ReplicaSnapshot& snapshot, const std::string& model) {
  if (model.empty() && !series_) return;
  if (!model.empty() && model != model_) {
    if (series_) Set({}, model_);
    model_ = model;
    series_ = MakeSeries(model);
  }
  const ReplicaLoad& load = snapshot.load;
  Series& series = *series_;
  series.ready->Set(snapshot.ready && !snapshot.draining ? 1 : 0);
  series.running->Set(load.running);
  series.waiting->Set(load.waiting);
  series.kv_blocks->Set(load.kv_blocks_total);
  series.kv_blocks_free->Set(load.kv_blocks_free);
  const int32_t used = load.kv_blocks_total - load.kv_blocks_free;
  series.kv_usage->Set(static_cast<double>(used) / std::max(1, load.kv_blocks_total));
  series.step_seconds->Set(load.step_ms / 1000);
  SetKvConfig(snapshot, model_);
  // A worker that is away tells zeros, which are no counts.
  if (!snapshot.ready) return;
  series.steps.Set(load.steps);
  series.preemptions.Set(load.preemptions);
  series.prefix_cache_queries.Set(load.prefix_cache_query_tokens);
  series.prefix_cache_hits.Set(load.prefix_cache_hit_tokens);
}

ReplicaMetrics::Series ReplicaMetrics::MakeSeries(const std::string& model) {
  const MetricLabels labels = {{"model", model}, {"replica", replica_}};
  const auto gauge = [&](const char* name, const char* help) {
    return &registry_.GetGauge(name, help, labels);
  };
  const auto total = [&](const char* name, const char* help) {
    return Total{.counter = &registry_.GetCounter(name, help, labels)};
  };
  return {
      .ready = gauge("spillway_replica_ready", "1: it takes new sequences."),
      .running = gauge("spillway_replica_running", "Sequences in its steps."),
      .waiting = gauge("spillway_replica_waiting", "Sequences in its queue."),
      .kv_blocks = gauge("spillway_replica_kv_blocks", "KV blocks that it has."),
      .kv_blocks_free =
          gauge("spillway_replica_kv_blocks_free", "KV blocks that no sequence holds."),
      .kv_usage = gauge("spillway_replica_kv_usage_ratio",
                        "Share of its KV blocks that sequences hold, 0 to 1."),
      .step_seconds = gauge("spillway_replica_step_seconds", "A moving average of its steps."),
      .steps = total("spillway_replica_steps_total", "Steps that it ran."),
      .preemptions = total("spillway_replica_preemptions_total",
                           "Sequences that lost their KV blocks and were computed again."),
      .prefix_cache_queries = total("spillway_replica_prefix_cache_queries_total",
                                    "Prompt tokens that were looked for in its prefix cache."),
      .prefix_cache_hits =
          total("spillway_replica_prefix_cache_hits_total", "Prompt tokens that were found there."),
  };
}

void ReplicaMetrics::SetKvConfig(const ReplicaSnapshot& snapshot, const std::string& model) {
  MetricLabels labels;
  if (snapshot.kv_block_tokens > 0) {
    labels = {{"model", model},
              {"replica", replica_},
              {"block_tokens", std::to_string(snapshot.kv_block_tokens)},
              {"blocks", std::to_string(snapshot.load.kv_blocks_total)}};
  }
  if (labels == kv_config_) return;
  constexpr char kName[] = "spillway_replica_kv_config_info";
  if (!kv_config_.empty()) registry_.RemoveGauge(kName, kv_config_);
  kv_config_ = std::move(labels);
  if (kv_config_.empty()) return;
  registry_.GetGauge(kName, "1: its KV memory has so many blocks of so many tokens.", kv_config_)
      .Set(1);
}

}  // namespace spillway
