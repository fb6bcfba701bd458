// What structured output costs a token, and how long its grammars take to compile.
//
//   bench_grammar [VOCABULARY]      tokens; 150000 unless given
//
// The vocabulary is made up: words of random letters, one of 32 mixed with punctuation, as long as
// those of real ones. For each schema it walks through random outputs and prints, of the CPU time
// for one mask (TokenMatcher::FillMask) and for taking the token (Accept): mean, median, 99th
// percentile. What bounds a mask is the share of the vocabulary that depends on what came before:
// all else was decided when the grammar was compiled.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "worker/grammar/token_grammar.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

// Of this thread: on a busy machine the wall's clock counts the others' work.
double CpuMicroseconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double MicrosecondsSince(double begin) { return CpuMicroseconds() - begin; }

// Byte-level: "\u0120" stands for a space, "\u010a" for a line feed.
TokenizerSpec MadeUpVocabulary(int32_t size) {
  std::mt19937 random(1);
  const std::string letters = "etaoinshrdlucmfwypvbgkjqxzETAOINSHR0123456789";
  const std::string marks = "{}[]\",:.-_/";
  std::set<std::string> words = {"\u0120", "\u010a"};
  for (char byte = '!'; byte <= '~'; ++byte) words.insert(std::string(1, byte));
  while (words.size() + 1 < static_cast<size_t>(size)) {
    std::string word = random() % 3 == 0 ? "\u0120" : "";
    const size_t length = 1 + random() % 9;
    const bool mixed = random() % 32 == 0;
    for (size_t i = 0; i < length; ++i) {
      const std::string& from = mixed && random() % 2 == 0 ? marks : letters;
      word += from[random() % from.size()];
    }
    words.insert(word);
  }
  TokenizerSpec spec;
  spec.pre_tokenizer = "gpt-2";
  spec.tokens.assign(words.begin(), words.end());
  spec.types.assign(spec.tokens.size(), TokenizerSpec::TokenType::kNormal);
  spec.tokens.push_back("<|end|>");
  spec.types.push_back(TokenizerSpec::TokenType::kControl);
  spec.eos = static_cast<TokenId>(spec.tokens.size()) - 1;
  spec.end_of_text = {spec.eos};
  return spec;
}

void Run(const char* name, const std::string& schema, const Tokenizer& tokenizer,
         GrammarCompiler& compiler) {
  double begin = CpuMicroseconds();
  const auto grammar = compiler.Compile({.kind = GrammarSource::Kind::kJsonSchema, .text = schema});
  CHECK(grammar.ok());
  const double compile_ms = MicrosecondsSince(begin) / 1000;
  std::mt19937 random(2);
  std::vector<int32_t> mask(static_cast<size_t>((tokenizer.vocabulary_size() + 31) / 32));
  std::vector<double> masks;
  double accepts = 0;
  while (masks.size() < 2000) {
    TokenMatcher matcher(*grammar, tokenizer.end_of_text());
    for (int i = 0; i < 200 && !matcher.ended(); ++i) {
      begin = CpuMicroseconds();
      matcher.FillMask(mask);
      masks.push_back(MicrosecondsSince(begin));
      std::vector<TokenId> allowed;
      for (TokenId token = 0; token < tokenizer.vocabulary_size(); ++token) {
        if ((mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1) != 0) {
          allowed.push_back(token);
        }
      }
      CHECK(!allowed.empty());
      const TokenId token = allowed[random() % allowed.size()];
      begin = CpuMicroseconds();
      CHECK(matcher.Accept(token));
      accepts += MicrosecondsSince(begin);
    }
  }
  double sum = 0;
  for (const double mask_us : masks) sum += mask_us;
  const auto count = static_cast<double>(masks.size());
  std::sort(masks.begin(), masks.end());
  std::printf("%-10s %10.1f %10.2f %10.2f %10.2f %10.2f %10zu\n", name, compile_ms, sum / count,
              masks[masks.size() / 2], masks[masks.size() * 99 / 100], accepts / count,
              (*grammar)->bytes() / 1024);
}

void RunAll(int32_t vocabulary) {
  const auto tokenizer = Tokenizer::Create(MadeUpVocabulary(vocabulary));
  CHECK(tokenizer.ok());
  GrammarCompiler compiler(**tokenizer);
  double begin = CpuMicroseconds();
  CHECK(compiler.Compile({.kind = GrammarSource::Kind::kRegex, .text = "a"}).ok());
  std::printf("%d tokens; sorted once in %.0f ms\n", vocabulary, MicrosecondsSince(begin) / 1000);
  std::printf("%-10s %10s %10s %10s %10s %10s %10s\n", "schema", "compile ms", "mask us", "median",
              "p99", "accept us", "KiB");
  Run("object",
      R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},)"
      R"("tags":{"type":"array","items":{"enum":["a","b"]}}},"required":["name","age","tags"]})",
      **tokenizer, compiler);
  Run("nested",
      R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"number"},"next":{"anyOf":)"
      R"([{"type":"null"},{"$ref":"#/$defs/n"}]}},"required":["v","next"]}},"$ref":"#/$defs/n"})",
      **tokenizer, compiler);
  Run("pattern", R"({"type":"string","pattern":"^[A-Z][a-z]{2,20}( [A-Z][a-z]{2,20})*$"})",
      **tokenizer, compiler);
  Run("any", R"({"type":"object"})", **tokenizer, compiler);
}

}  // namespace
}  // namespace spillway

int main(int argc, char** argv) {
  const int vocabulary = argc > 1 ? std::atoi(argv[1]) : 150'000;
  if (vocabulary < 1000 || vocabulary > 1'000'000) {
    std::fprintf(stderr, "usage: bench_grammar [VOCABULARY from 1000 to 1000000]\n");
    return 2;
  }
  spillway::RunAll(vocabulary);
  return 0;
}
