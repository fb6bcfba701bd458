#include "worker/sampling/candidates.h"

#include <algorithm>

namespace spillway {
namespace {

// Below this many, sorting is the quicker way.
constexpr ptrdiff_t kSortMax = 32;

void KeepDownTo(const Candidate& last, std::vector<Candidate>& candidates) {
  std::erase_if(candidates, [&](const Candidate& candidate) { return Likelier(last, candidate); });
}

}  // namespace

void KeepLikeliest(size_t count, std::vector<Candidate>& candidates,
                   std::vector<Candidate>& scratch) {
  if (count >= candidates.size()) return;
  if (count == 0) {
    candidates.clear();
    return;
  }
  scratch = candidates;
  const auto last = scratch.begin() + static_cast<ptrdiff_t>(count - 1);
  std::nth_element(scratch.begin(), last, scratch.end(), Likelier);
  KeepDownTo(*last, candidates);
}

void KeepMass(double mass, std::vector<Candidate>& candidates, std::vector<Candidate>& scratch) {
  scratch = candidates;
  // What is before `begin` is in and weighs `kept`; what is from `end` on is out.
  auto begin = scratch.begin();
  auto end = scratch.end();
  double kept = 0;
  while (end - begin > kSortMax) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, Likelier);
    double half = 0;
    for (auto at = begin; at != middle; ++at) half += at->value;
    if (kept + half >= mass) {
      end = middle;
    } else {
      kept += half;
      begin = middle;
    }
  }
  std::sort(begin, end, Likelier);
  for (auto at = begin; at != end; ++at) {
    kept += at->value;
    if (kept >= mass) {
      KeepDownTo(*at, candidates);
      return;
    }
  }
  // All of it weighs less than `mass`.
}

}  // namespace spillway
