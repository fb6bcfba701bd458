#pragma once

#include "common/metrics.h"

namespace spillway {

// Shows our metrics also under the names that vLLM gives them, with its labels `model_name` and
// `engine`: what autoscalers and gateways for language models look for (KEDA's and KServe's
// recipes, the Gateway API's inference extension). `engine` is the replica; where a metric is of
// requests, which may see several replicas, it is "0". Names and meanings: vLLM v1,
// vllm/v1/metrics/loggers.py.
void AddVllmAliases(MetricRegistry& registry);

}  // namespace spillway
