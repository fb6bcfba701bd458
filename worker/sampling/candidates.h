#pragma once

#include <cstddef>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// A token that may yet be chosen, with its logit or its weight.
struct Candidate {
  TokenId token = 0;
  float value = 0;
};

// The likelier first; the lower id of equals.
inline bool Likelier(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

// Keeps the `count` likeliest, in the order in which they stand. `scratch` is overwritten. Linear.
// No value is NaN.
void KeepLikeliest(size_t count, std::vector<Candidate>& candidates,
                   std::vector<Candidate>& scratch);

// Keeps the smallest set of the likeliest whose values add up to at least `mass`, or all, in the
// order in which they stand. Values are weights (logit_weights.h), so that sums are exact.
// `scratch` is overwritten. Linear: a quickselect that goes by mass and not by count.
void KeepMass(double mass, std::vector<Candidate>& candidates, std::vector<Candidate>& scratch);

}  // namespace spillway
