#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace spillway {

// How much memory each of some workers of one machine may take, so that together they take no more
// than there is: each what its model's files have, and a bit, and an equal part of what that
// leaves. Where even the models don't fit, in proportion to them: their workers say what is
// missing. `model_bytes` has one entry for each worker.
std::vector<int64_t> ShareMemory(int64_t available_bytes, std::span<const int64_t> model_bytes);

}  // namespace spillway
