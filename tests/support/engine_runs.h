#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/clock.h"
#include "worker/cpu_executor.h"
#include "worker/engine_loop.h"

namespace spillway {

// One token with every bit that is known of it: its id, its log-probability, and the ids and
// log-probabilities of the likeliest.
using TokenBits = std::vector<uint32_t>;

// What an engine made of one request.
struct EngineRun {
  std::vector<TokenId> tokens;
  std::vector<TokenBits> prompt;  // where its scores were asked for, from the second token on
  std::vector<TokenBits> output;
  int32_t cached_tokens = 0;
};

// How a run is made; none of it may change a bit.
struct EngineWay {
  int32_t threads = 1;
  int32_t step_tokens = 512;
  int32_t running_max = 4;
  int32_t block_count = 0;  // 0: plenty
  bool prefix_cache = true;
  std::optional<CpuIsa> isa = std::nullopt;
  int32_t turns_between_arrivals = 0;  // of the engine loop
};

// Runs requests through the real scheduler, engine loop and CPU executor.
class EngineRuns {
 public:
  // Borrows both. `sequence_tokens_max`: prompt and output of one request.
  EngineRuns(const ModelSpec& spec, const TensorSource& tensors, const EngineWay& way,
             int32_t sequence_tokens_max);

  ~EngineRuns();

  // Until all have ended; what ran before is over.
  std::vector<EngineRun> Run(const std::vector<EngineRequest>& requests);

  uint64_t preemptions() const { return preemptions_; }  // in all runs
  const Executor& executor() const { return *executor_; }

 private:
  class Sink;

  const EngineWay way_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const std::unique_ptr<Executor> executor_;
  const std::unique_ptr<Sink> sink_;
  const SystemClock clock_;
  EngineLoop engine_;
  uint64_t preemptions_ = 0;
  uint64_t next_id_ = 0;
};

}  // namespace spillway
