#include "worker/text/pattern_matcher.h"

#include "worker/text/utf8.h"

namespace spillway {
namespace {

using Op = PatternStep::Op;

size_t SizeOfLead(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xE0) return 2;
  return lead < 0xF0 ? 3 : 4;
}

// The text is UTF-8, so nothing is checked here.
char32_t CodePointAt(std::string_view text, size_t at, size_t size) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (size == 1) return byte(0);
  char32_t c = byte(0) & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) c = c << 6 | (byte(i) & 0x3Fu);
  return c;
}

}  // namespace

size_t PatternMatcher::SizeIfIn(const CodePointBitmap& set, size_t at) const {
  if (at == text_.size()) return 0;
  const size_t size = SizeOfLead(static_cast<unsigned char>(text_[at]));
  return set.Has(CodePointAt(text_, at, size)) ? size : 0;
}

size_t PatternMatcher::Before(size_t at) const {
  do {
    --at;
  } while ((static_cast<unsigned char>(text_[at]) & 0xC0) == 0x80);
  return at;
}

size_t PatternMatcher::SizeIf(char32_t c, size_t at) const {
  if (at == text_.size()) return 0;
  const size_t size = SizeOfLead(static_cast<unsigned char>(text_[at]));
  return CodePointAt(text_, at, size) == c ? size : 0;
}

bool PatternMatcher::IsPlace(PatternNode::Kind kind, size_t at) const {
  using Kind = PatternNode::Kind;
  const size_t size = text_.size();
  switch (kind) {
    case Kind::kTextBegin:
      return at == 0;
    case Kind::kTextEnd:
      return at == size;
    case Kind::kTextEndOrLastNewline:
      return at == size || (at + 1 == size && text_[at] == '\n');
    case Kind::kLineBegin:
      return at == 0 || (at < size && text_[at - 1] == '\n');
    case Kind::kLineEnd:
      return at == size || text_[at] == '\n';
    default: {  // kWordBoundary
      const bool before = at > 0 && SizeIfIn(program_.word, Before(at)) > 0;
      return before != (SizeIfIn(program_.word, at) > 0);
    }
  }
}

std::optional<size_t> PatternMatcher::MatchAt(size_t begin) {
  if (gave_up_) return std::nullopt;
  const std::optional<size_t> end = Run(0, begin);
  // On a match the choices that led to it have not failed, and may be met again at its end.
  Settle(0, end ? Fate::kUnknown : Fate::kFails);
  choices_.clear();
  return end;
}

// Up to an accept. Then the choices that led to it are on the trail still.
// NOLINTNEXTLINE(misc-no-recursion): as deep as look-arounds are nested.
std::optional<size_t> PatternMatcher::Run(int32_t step, size_t at) {
  const size_t base = choices_.size();
  while (true) {
    switch (Take(step, at)) {
      case Fate::kMatches:
        choices_.resize(base);
        return at;
      case Fate::kUnknown:
        continue;
      case Fate::kFails:
        break;
    }
    if (choices_.size() == base || gave_up_) return std::nullopt;
    Choice& choice = choices_.back();
    Settle(choice.trail, Fate::kFails);
    step = choice.step;
    at = choice.at;
    if (choice.at > choice.low) {
      choice.at = Before(choice.at);
    } else {
      choices_.pop_back();
    }
  }
}

PatternMatcher::Fate PatternMatcher::Take(int32_t& step, size_t& at) {
  ++step_count_;
  const PatternStep& now = program_.steps[step];
  switch (now.op) {
    case Op::kCharacter:
    case Op::kSet: {
      const size_t size = now.op == Op::kSet ? SizeIfIn(program_.sets[now.argument], at)
                                             : SizeIf(static_cast<char32_t>(now.argument), at);
      at += size;
      ++step;
      return size > 0 ? Fate::kUnknown : Fate::kFails;
    }
    case Op::kLoop:
    case Op::kOnceAndForAll:
      return TakeLoop(step, at);
    case Op::kSplit:
      return TakeSplit(step, at);
    case Op::kJump:
      step = now.argument;
      return Fate::kUnknown;
    case Op::kAhead:
    case Op::kBehind: {
      const bool looks = LooksAround(step, at);
      step = now.argument;
      return looks ? Fate::kUnknown : Fate::kFails;
    }
    case Op::kPlace: {
      const bool is_place = IsPlace(static_cast<PatternNode::Kind>(now.argument), at);
      ++step;
      return is_place != now.negated ? Fate::kUnknown : Fate::kFails;
    }
    case Op::kAccept:
      break;
  }
  return Fate::kMatches;
}

PatternMatcher::Fate PatternMatcher::TakeSplit(int32_t& step, size_t at) {
  const PatternStep& now = program_.steps[step];
  const Fate fate = Enter(step, at);
  if (fate == Fate::kUnknown) {
    choices_.push_back({now.other, at, at, trail_.size()});
    step = now.argument;
  }
  return fate;
}

PatternMatcher::Fate PatternMatcher::TakeLoop(int32_t& step, size_t& at) {
  const PatternStep& now = program_.steps[step];
  const CodePointBitmap& set = program_.sets[now.argument];
  int32_t count = 0;
  size_t low = at;
  if (!remembers()) LosePatience();
  if (gave_up_) return Fate::kFails;
  // A loop without bound is remembered at each of its places, another one where it begins.
  const bool remembering = now.max == PatternProgram::kNoMax && remembers();
  if (remembers() && !remembering) {
    const Fate fate = Enter(step, at);
    if (fate != Fate::kUnknown) return fate;
  }
  const int32_t max = remembering ? now.min : now.max;
  for (; count < max; ++count) {
    const size_t size = SizeIfIn(set, at);
    if (size == 0) break;
    at += size;
    if (count < now.min) low = at;
  }
  step_count_ += count;
  if (count < now.min) return Fate::kFails;
  if (remembering) return TakeLoopRemembering(step, at);
  if (at > low && now.op == Op::kLoop) {
    choices_.push_back({step + 1, Before(at), low, trail_.size()});
  }
  ++step;
  return Fate::kUnknown;
}

// Each place inside the loop is a choice: to go on, or else to leave.
PatternMatcher::Fate PatternMatcher::TakeLoopRemembering(int32_t& step, size_t& at) {
  const PatternStep& now = program_.steps[step];
  const CodePointBitmap& set = program_.sets[now.argument];
  while (true) {
    ++step_count_;
    const Fate fate = Enter(step, at);
    if (fate != Fate::kUnknown) return fate;
    const size_t size = SizeIfIn(set, at);
    if (size == 0) break;
    if (now.op == Op::kLoop) choices_.push_back({step + 1, at, at, trail_.size()});
    at += size;
  }
  ++step;
  return Fate::kUnknown;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as look-arounds are nested.
bool PatternMatcher::LooksAround(int32_t step, size_t at) {
  const PatternStep& now = program_.steps[step];
  if (now.op == Op::kBehind) {
    for (int32_t i = 0; i < now.other; ++i) {
      if (at == 0) return now.negated;
      at = Before(at);
    }
  }
  const size_t trail = trail_.size();
  const bool matches = Run(step + 1, at).has_value();
  Settle(trail, matches ? Fate::kMatches : Fate::kFails);
  return matches != now.negated;
}

void PatternMatcher::LosePatience() {
  const auto bytes = static_cast<int64_t>(text_.size());
  if (step_count_ > kPatienceMin + kPatience * bytes) StartRemembering();
}

PatternMatcher::Fate PatternMatcher::Enter(int32_t step, size_t at) {
  if (!remembers()) LosePatience();
  if (gave_up_) return Fate::kFails;
  if (!remembers()) return Fate::kUnknown;
  const size_t key = rows_[step] + at;
  const auto fate = static_cast<Fate>(memo_[key / 4] >> (key % 4 * 2) & 3);
  if (fate == Fate::kUnknown) {
    // Met again while it is being tried, it would go round in a circle: nothing new comes of it.
    SetFate(key, Fate::kFails);
    trail_.push_back(key);
  }
  return fate;
}

void PatternMatcher::SetFate(size_t key, Fate fate) {
  uint8_t& four = memo_[key / 4];
  const auto shift = static_cast<unsigned>(key % 4 * 2);
  four = static_cast<uint8_t>((four & ~(3u << shift)) | static_cast<unsigned>(fate) << shift);
}

void PatternMatcher::Settle(size_t length, Fate fate) {
  for (size_t i = length; i < trail_.size(); ++i) SetFate(trail_[i], fate);
  trail_.resize(length);
}

void PatternMatcher::StartRemembering() {
  const size_t places = text_.size() + 1;
  size_t entries = 0;
  rows_.assign(program_.steps.size(), 0);
  for (size_t i = 0; i < program_.steps.size(); ++i) {
    const PatternStep& step = program_.steps[i];
    const bool is_loop = step.op == Op::kLoop || step.op == Op::kOnceAndForAll;
    if (step.op != Op::kSplit && !is_loop) continue;
    rows_[i] = entries;
    if (memo_max_ - entries < places) {
      gave_up_ = true;
      return;
    }
    entries += places;
  }
  memo_.assign(entries / 4 + 1, 0);
}

}  // namespace spillway
