#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "scheduler/types.h"
#include "worker/grammar/grammar_source.h"
#include "worker/grammar/json_schema.h"
#include "worker/text/tokenizer.h"

namespace spillway {

struct TokenGrammarLimits {
  JsonSchemaLimits schema = {};
  size_t text_bytes_max = 32u << 10;  // of a regex, a grammar, or all choices together
  size_t tag_bytes_max = 512u << 10;  // of a structural tag
  size_t choices_max = 4096;
};

// A grammar over one model's tokens, by XGrammar (https://github.com/mlc-ai/xgrammar). Immutable:
// any thread may use it at once.
class TokenGrammar {
 public:
  class Impl;
  explicit TokenGrammar(std::unique_ptr<const Impl> impl);
  ~TokenGrammar();

  size_t bytes() const;  // of memory, about
  const Impl& impl() const { return *impl_; }

 private:
  const std::unique_ptr<const Impl> impl_;
};

// Makes grammars for one model. The first one takes longest: it sorts the vocabulary.
//
// Not thread-safe. `tokenizer` outlives it.
class GrammarCompiler {
 public:
  explicit GrammarCompiler(const Tokenizer& tokenizer, const TokenGrammarLimits& limits = {});
  ~GrammarCompiler();

  // What can be told at once: sizes, and what of a schema isn't supported. INVALID_ARGUMENT as
  // Compile(). Any thread.
  absl::Status Check(const GrammarSource& source) const;

  // INVALID_ARGUMENT: the source is unfit; says why, and of a schema which keyword it is. A large
  // source takes seconds, and can't be interrupted.
  absl::StatusOr<std::shared_ptr<const TokenGrammar>> Compile(const GrammarSource& source);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Where one sequence stands in its grammar.
//
// Not thread-safe.
class TokenMatcher {
 public:
  // `ends`: the tokens that end the text, allowed where the grammar is at its end.
  TokenMatcher(std::shared_ptr<const TokenGrammar> grammar, std::span<const TokenId> ends);
  ~TokenMatcher();

  // False: the grammar doesn't allow it; nothing has changed.
  bool Accept(TokenId token);

  // Likewise for a text; an empty one is always allowed.
  bool AcceptText(std::string_view text);

  // A bit for each token of the vocabulary, in words of 32, the first token in the lowest bit: the
  // tokens that may come next. Requires that it has not ended, and a word for each 32 tokens.
  void FillMask(std::span<int32_t> mask);

  bool ended() const;  // one of `ends` was accepted

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
