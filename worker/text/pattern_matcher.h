#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "worker/text/pattern_program.h"

namespace spillway {

// Runs a program over one text. `program` and `text` outlive it; the text is UTF-8. Not shared
// between threads.
//
// Backtracking, at first without memory. Once that has taken kPatience steps for each byte of the
// text, every choice that fails at a place is remembered and not tried there again. That is right
// because what a step leads to depends on the place alone: there are no back references and no
// counters. It takes two bits for each choice of the program and byte of the text, kMemoMax at
// most: where that is not enough (choices times bytes above 2^30) the search ends without a match.
class PatternMatcher {
 public:
  static constexpr size_t kMemoMax = 1 << 30;  // entries

  PatternMatcher(const PatternProgram& program, std::string_view text, size_t memo_max = kMemoMax)
      : program_(program), text_(text), memo_max_(memo_max) {}

  // The end of the match that begins exactly at `begin`.
  std::optional<size_t> MatchAt(size_t begin);

  int64_t step_count() const { return step_count_; }

 private:
  static constexpr int64_t kPatience = 64;
  static constexpr int64_t kPatienceMin = 1 << 10;

  // Of a choice, and of what comes next after it.
  enum class Fate : uint8_t { kUnknown, kFails, kMatches };

  // Where to go on when what was tried fails.
  struct Choice {
    int32_t step = 0;
    size_t at = 0;
    size_t low = 0;    // of a loop: down to here its characters may be given back, one by one
    size_t trail = 0;  // the trail's length when the choice was made
  };

  std::optional<size_t> Run(int32_t step, size_t at);
  // Does one step. kUnknown: go on at `step` and `at`, which it changes.
  Fate Take(int32_t& step, size_t& at);
  Fate TakeSplit(int32_t& step, size_t at);
  Fate TakeLoop(int32_t& step, size_t& at);
  Fate TakeLoopRemembering(int32_t& step, size_t& at);
  bool LooksAround(int32_t step, size_t at);
  bool IsPlace(PatternNode::Kind kind, size_t at) const;

  // The size of the character at `at` if the set has it, else 0.
  size_t SizeIfIn(const CodePointBitmap& set, size_t at) const;
  size_t SizeIf(char32_t c, size_t at) const;
  size_t Before(size_t at) const;

  // What is known of the choice at `step` and `at`. Unless that is all, it is being tried now.
  Fate Enter(int32_t step, size_t at);
  // The fate of all choices on the trail beyond `length`, which it is cut to.
  void Settle(size_t length, Fate fate);
  void SetFate(size_t key, Fate fate);
  bool remembers() const { return !memo_.empty(); }
  // Starts to remember if too many steps were taken; or gives up, without room for it.
  void LosePatience();
  void StartRemembering();

  const PatternProgram& program_;
  const std::string_view text_;
  const size_t memo_max_;
  int64_t step_count_ = 0;
  std::vector<Choice> choices_;
  bool gave_up_ = false;
  std::vector<size_t> rows_;   // by step: where its entries in the memo begin
  std::vector<uint8_t> memo_;  // four fates each
  std::vector<size_t> trail_;  // keys of choices that are being tried
};

}  // namespace spillway
