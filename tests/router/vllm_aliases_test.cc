#include "router/vllm_aliases.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "router/replica_metrics.h"
#include "router/router_metrics.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// What a scrape must hold for the recipes of autoscalers to work.
TEST(VllmAliasesTest, EachNameIsThereWithItsLabels) {
  MetricRegistry registry;
  AddVllmAliases(registry);
  ReplicaMetrics replica(registry, "worker-0");
  replica.Set({.ready = true,
               .kv_block_tokens = 16,
               .load = {.running = 2,
                        .waiting = 3,
                        .kv_blocks_free = 30,
                        .kv_blocks_total = 40,
                        .preemptions = 5,
                        .prefix_cache_query_tokens = 70,
                        .prefix_cache_hit_tokens = 60}},
              "m");
  RequestMetrics requests(registry);
  RequestRecord record = {.ended = absl::Time() + absl::Seconds(2), .outcome = "finished"};
  record.choices = {{.tokens = 4, .finished = FinishReason::kStop}};
  record.prompt_tokens = 7;
  requests.Observe("m", record);

  const std::string text = registry.Scrape();
  const std::string worker = "{engine=\"worker-0\",model_name=\"m\"}";
  const std::string request = "{engine=\"0\",model_name=\"m\"}";
  const auto line = [&](const std::string& labels, const std::string& name, const char* value) {
    EXPECT_THAT(text, HasSubstr("\nvllm:" + name + labels + " " + value + "\n"));
  };
  line(worker, "num_requests_running", "2");
  line(worker, "num_requests_waiting", "3");
  line(worker, "kv_cache_usage_perc", "0.25");
  line(worker, "prefix_cache_queries_total", "70");
  line(worker, "prefix_cache_hits_total", "60");
  line(worker, "num_preemptions_total", "5");
  line(request, "time_to_first_token_seconds_count", "0");
  line(request, "inter_token_latency_seconds_count", "0");
  line(request, "request_queue_time_seconds_count", "0");
  line(request, "e2e_request_latency_seconds_sum", "2");
  line(request, "prompt_tokens_total", "7");
  line(request, "generation_tokens_total", "4");
  line("{engine=\"0\",finished_reason=\"stop\",model_name=\"m\"}", "request_success_total", "1");
  line("{block_size=\"16\",engine=\"worker-0\",model_name=\"m\",num_gpu_blocks=\"40\"}",
       "cache_config_info", "1");
}

}  // namespace
}  // namespace spillway
