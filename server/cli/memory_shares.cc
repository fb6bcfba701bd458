#include "server/cli/memory_shares.h"

#include <algorithm>
#include <numeric>

namespace spillway {
namespace {

// Packed weights take about what their files do: SmolLM2 Q4_1 92 MiB of 94.
int64_t WithMargin(int64_t model_bytes) { return model_bytes + model_bytes / 8; }

}  // namespace

std::vector<int64_t> ShareMemory(int64_t available_bytes, std::span<const int64_t> model_bytes) {
  std::vector<int64_t> shares;
  for (const int64_t bytes : model_bytes) shares.push_back(WithMargin(bytes));
  const int64_t models = std::accumulate(shares.begin(), shares.end(), int64_t{0});
  const auto count = static_cast<int64_t>(shares.size());
  for (int64_t& share : shares) {
    if (models <= available_bytes) {
      share += (available_bytes - models) / count;
    } else {
      const double part = static_cast<double>(share) / static_cast<double>(models);
      share = static_cast<int64_t>(part * static_cast<double>(available_bytes));
    }
    share = std::max<int64_t>(share, 1);
  }
  return shares;
}

}  // namespace spillway
