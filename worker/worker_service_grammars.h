#pragma once

#include <cstddef>
#include <functional>
#include <thread>

#include "common/bounded_queue.h"
#include "worker/engine_types.h"
#include "worker/grammar/grammar_cache.h"
#include "worker/grammar/token_grammar.h"
#include "worker/text/tokenizer.h"
#include "worker/worker_service_wire.h"

namespace spillway {

struct GrammarThreadLimits {
  size_t requests_max = 256;                 // that wait, in each lane
  size_t quick_source_bytes_max = 4u << 10;  // what is longer goes the slow lane
  GrammarCacheLimits cache = {};             // of each lane
};

// The threads `grammar` and `big grammar`: compile what requests must keep to, on their way from
// PromptThread to the engine, each in order. A large schema takes seconds; those who wait behind it
// have large ones, too. Requests without a grammar never come here.
//
// Thread-safe. The handlers are called on these threads; what they and `tokenizer` refer to
// outlives it.
class GrammarThreads {
 public:
  struct Handlers {
    std::function<bool(SequenceId)> wanted;  // false: cancelled while it waited
    std::function<void(EngineRequest)> ready;
    std::function<void(SequenceId, const SpecRefusal&)> refused;
  };

  GrammarThreads(const GrammarThreadLimits& limits, const Tokenizer& tokenizer, Handlers handlers);

  // False when too many wait; `request` is then untouched. Requires that it has a grammar_source.
  bool TryPush(EngineRequest&& request);

 private:
  class Lane {
   public:
    Lane(const char* name, const GrammarThreadLimits& limits, const Tokenizer& tokenizer,
         const Handlers& handlers);
    ~Lane();  // ends the thread; what waits is dropped

    bool TryPush(EngineRequest&& request) { return requests_.TryPush(std::move(request)); }

   private:
    void Run();

    const Handlers& handlers_;
    BoundedQueue<EngineRequest> requests_;
    // The thread's.
    GrammarCompiler compiler_;
    GrammarCache cache_;
    std::thread thread_;
  };

  const GrammarThreadLimits limits_;
  const Handlers handlers_;
  Lane quick_;
  Lane slow_;
};

}  // namespace spillway
