#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// Looks for any of some strings in a text that arrives byte by byte (Knuth, Morris and Pratt, once
// per string, so that the cost of a byte doesn't depend on how the strings overlap).
//
// Owned by a TextStream, on its thread.
class StopMatcher {
 public:
  // Requires that no string is empty.
  explicit StopMatcher(const std::vector<std::string>& strings);

  // The index of the string that `byte` completes, the longest if it completes several; -1: none.
  // Nothing may follow a completed one.
  int Add(char byte);

  // How many of the last bytes may yet become one of the strings.
  size_t open_bytes() const;

 private:
  struct Pattern {
    std::string text;
    // borders[n]: the longest proper prefix of the first n bytes that is also their suffix.
    std::vector<size_t> borders;
    size_t matched = 0;  // the longest prefix that the text so far ends with
  };

  std::vector<Pattern> patterns_;
};

}  // namespace spillway
