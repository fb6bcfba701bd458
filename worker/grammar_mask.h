#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "worker/executor.h"
#include "worker/grammar/token_grammar.h"
#include "worker/text/output_parser.h"
#include "worker/text/reasoning_format.h"
#include "worker/text/tokenizer.h"

namespace spillway {

// Keeps one sequence's output in its grammar. What the model thinks is free, but for the end of the
// text; the grammar begins behind it.
//
//            the token that opens the reasoning            the reasoning's close marker
//   start ---------------------------------------> reasoning -------------------------> content
//     |                                                                                    ^  |
//     +------------------------------------------------------------------------------------+  v
//                                   any other token                                         ended
//
// A run of blank tokens comes to an end: grammars of JSON allow any whitespace, and some models
// write nothing else once they begin. (A bound in the grammar itself costs: masks took half as long
// again, grammars 60 times the memory.)
//
// It reads the tokens itself, since the executor knows them before the engine does. So a resumed or
// preempted sequence needs nothing else: it reads what there is, once.
//
// Owned by a Generation; used by the executor alone. `tokenizer` outlives it.
class GrammarMask : public TokenMask {
 public:
  // `ends`: the tokens that end the text.
  GrammarMask(std::shared_ptr<const TokenGrammar> grammar, const Tokenizer& tokenizer,
              const ReasoningStart& reasoning, std::vector<TokenId> ends);

  std::span<const int32_t> Allowed(std::span<const TokenId> output, TokenId pending) override;

 private:
  // kBroken: a token came that the grammar doesn't allow, so that none may follow.
  enum class State { kStart, kReasoning, kContent, kEnded, kBroken };

  void Read(TokenId token);
  bool IsBlank(TokenId token) const;
  // Takes blank tokens out of mask_, unless it would leave nothing.
  void EndBlanks();
  void Accept(TokenId token);

  const Tokenizer& tokenizer_;
  const std::vector<TokenId> ends_;
  TokenMatcher matcher_;
  OutputParser parser_;      // finds the reasoning's end
  TokenId opens_reasoning_;  // the token that is a whole marker; -1: there is none
  State state_;
  size_t read_ = 0;  // tokens of the output
  std::vector<int32_t> mask_;
  int32_t blank_run_ = 0;        // tokens of the content, up to the last
  std::vector<int32_t> blanks_;  // a bit for each blank token; empty until it is needed
};

}  // namespace spillway
