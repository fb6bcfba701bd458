#include "worker/text/stop_matcher.h"

#include <algorithm>

#include "common/check.h"

namespace spillway {

StopMatcher::StopMatcher(const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    CHECK(!text.empty());
    std::vector<size_t> borders(text.size() + 1, 0);
    for (size_t n = 2; n <= text.size(); ++n) {
      size_t border = borders[n - 1];
      while (border > 0 && text[border] != text[n - 1]) border = borders[border];
      borders[n] = text[border] == text[n - 1] ? border + 1 : 0;
    }
    patterns_.push_back({text, std::move(borders)});
  }
}

int StopMatcher::Add(char byte) {
  int completed = -1;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    Pattern& pattern = patterns_[i];
    size_t& matched = pattern.matched;
    while (matched > 0 && pattern.text[matched] != byte) matched = pattern.borders[matched];
    if (pattern.text[matched] == byte) ++matched;
    if (matched == pattern.text.size() &&
        (completed < 0 || matched > patterns_[completed].text.size())) {
      completed = static_cast<int>(i);
    }
  }
  return completed;
}

size_t StopMatcher::open_bytes() const {
  size_t open = 0;
  for (const Pattern& pattern : patterns_) open = std::max(open, pattern.matched);
  return open;
}

}  // namespace spillway
