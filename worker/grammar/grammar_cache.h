#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <unordered_map>

#include "worker/grammar/grammar_source.h"
#include "worker/grammar/token_grammar.h"

namespace spillway {

struct GrammarCacheLimits {
  size_t bytes_max = 256u << 20;  // of grammars and their sources
  size_t grammars_max = 1024;
};

// Compiled grammars by what they were made of; the least recently used go first. Those in use live
// on with whoever uses them.
//
// Not thread-safe.
class GrammarCache {
 public:
  explicit GrammarCache(const GrammarCacheLimits& limits = {}) : limits_(limits) {}

  // Null: it isn't there.
  std::shared_ptr<const TokenGrammar> Find(const GrammarSource& source);

  // One that is over the limit by itself isn't kept. Requires that it isn't there.
  void Add(const GrammarSource& source, std::shared_ptr<const TokenGrammar> grammar);

  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    GrammarSource source;
    std::shared_ptr<const TokenGrammar> grammar;
    size_t bytes = 0;
  };
  struct Hash {
    size_t operator()(const GrammarSource& source) const;
  };

  const GrammarCacheLimits limits_;
  std::list<Entry> entries_;  // the latest used first
  std::unordered_map<GrammarSource, std::list<Entry>::iterator, Hash> places_;
  size_t bytes_ = 0;
};

}  // namespace spillway
