#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// Names for requests and answers: 24 hex digits, unlikely to repeat between processes whose seeds
// differ. Not secrets. Not thread-safe: one per thread, with different seeds.
class IdGenerator {
 public:
  explicit IdGenerator(uint64_t seed) : state_(seed) {}
  std::string Next();

 private:
  uint64_t state_;
};

}  // namespace spillway
