#include "server/http/id_generator.h"

namespace spillway {
namespace {

// SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
uint64_t Mix(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

std::string IdGenerator::Next() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id(24, '0');
  uint64_t bits = Mix(state_);
  for (size_t i = 0; i < id.size(); ++i) {
    if (i == 16) bits = Mix(state_);
    id[i] = kDigits[bits & 15];
    bits >>= 4;
  }
  return id;
}

}  // namespace spillway
