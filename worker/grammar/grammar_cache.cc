#include "worker/grammar/grammar_cache.h"

#include <functional>
#include <string>
#include <utility>

#include "common/check.h"

namespace spillway {
namespace {

size_t SourceBytes(const GrammarSource& source) {
  size_t bytes = sizeof(GrammarSource) + source.text.size();
  for (const std::string& choice : source.choices) bytes += sizeof(std::string) + choice.size();
  return bytes;
}

}  // namespace

size_t GrammarCache::Hash::operator()(const GrammarSource& source) const {
  size_t hash = std::hash<std::string>()(source.text) + static_cast<size_t>(source.kind);
  for (const std::string& choice : source.choices) {
    hash = hash * 31 + std::hash<std::string>()(choice);
  }
  return hash;
}

std::shared_ptr<const TokenGrammar> GrammarCache::Find(const GrammarSource& source) {
  const auto found = places_.find(source);
  if (found == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->grammar;
}

void GrammarCache::Add(const GrammarSource& source, std::shared_ptr<const TokenGrammar> grammar) {
  const size_t bytes = grammar->bytes() + 2 * SourceBytes(source);
  if (bytes > limits_.bytes_max) return;
  entries_.push_front({source, std::move(grammar), bytes});
  CHECK(places_.emplace(source, entries_.begin()).second);
  bytes_ += bytes;
  while (bytes_ > limits_.bytes_max || entries_.size() > limits_.grammars_max) {
    bytes_ -= entries_.back().bytes;
    places_.erase(entries_.back().source);
    entries_.pop_back();
  }
}

}  // namespace spillway
