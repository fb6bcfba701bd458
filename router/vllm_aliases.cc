#include "router/vllm_aliases.h"

#include <map>
#include <string>

namespace spillway {

void AddVllmAliases(MetricRegistry& registry) {
  struct Pair {
    const char* name;
    const char* alias;
    const char* help;
  };
  constexpr Pair kOfReplicas[] = {
      {"spillway_replica_running", "vllm:num_requests_running", "Sequences in steps."},
      {"spillway_replica_waiting", "vllm:num_requests_waiting", "Sequences in the queue."},
      {"spillway_replica_kv_usage_ratio", "vllm:kv_cache_usage_perc",
       "Share of the KV blocks in use, 0 to 1."},
      {"spillway_replica_prefix_cache_queries_total", "vllm:prefix_cache_queries_total",
       "Prompt tokens looked for in the prefix cache."},
      {"spillway_replica_prefix_cache_hits_total", "vllm:prefix_cache_hits_total",
       "Prompt tokens found in the prefix cache."},
      {"spillway_replica_preemptions_total", "vllm:num_preemptions_total",
       "Sequences computed again."},
  };
  constexpr Pair kOfRequests[] = {
      {"spillway_ttft_seconds", "vllm:time_to_first_token_seconds", "To the first text."},
      {"spillway_inter_token_seconds", "vllm:inter_token_latency_seconds", "Between tokens."},
      {"spillway_request_seconds", "vllm:e2e_request_latency_seconds", "To the end."},
      {"spillway_queue_seconds", "vllm:request_queue_time_seconds", "To the begin of prefill."},
      {"spillway_prompt_tokens_total", "vllm:prompt_tokens_total", "Tokens of prompts."},
      {"spillway_completion_tokens_total", "vllm:generation_tokens_total", "Tokens of output."},
  };
  for (const Pair& pair : kOfReplicas) {
    registry.AddAlias({.name = pair.name,
                       .alias = pair.alias,
                       .help = pair.help,
                       .label_names = {{"model", "model_name"}, {"replica", "engine"}}});
  }
  for (const Pair& pair : kOfRequests) {
    registry.AddAlias({.name = pair.name,
                       .alias = pair.alias,
                       .help = pair.help,
                       .label_names = {{"model", "model_name"}},
                       .labels = {{"engine", "0"}}});
  }
  registry.AddAlias({.name = "spillway_choices_finished_total",
                     .alias = "vllm:request_success_total",
                     .help = "Answers that are complete.",
                     .label_names = {{"model", "model_name"}, {"reason", "finished_reason"}},
                     .labels = {{"engine", "0"}}});
  registry.AddAlias({.name = "spillway_replica_kv_config_info",
                     .alias = "vllm:cache_config_info",
                     .help = "The KV memory.",
                     .label_names = {{"model", "model_name"},
                                     {"replica", "engine"},
                                     {"block_tokens", "block_size"},
                                     {"blocks", "num_gpu_blocks"}}});
}

}  // namespace spillway
