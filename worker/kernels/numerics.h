#pragma once

#include <cstdint>

namespace spillway {

// One arithmetic for every CPU (DESIGN §6).
//
// Each operator is written once over 16 virtual lanes and compiled for every instruction set. All
// of them give the same bits, because each step is either exact (integer dot products, f16 to f32)
// or one correctly rounded IEEE operation in a fixed order:
//  - Fused multiply-adds are written out, and the compiler may not make more (-ffp-contract=off).
//  - A sum over many values goes through 16 lanes (value i to lane i mod 16), in order, and then
//    through one fixed tree (SumLanes).
//  - A matrix product goes over its inputs in order, in blocks of 32, or 16 where a weight format
//    has a scale for 16; within a block the products are integers. Tiles over rows and outputs
//    change which results are computed together only.
//  - Activations are quantised per row and 32 values: scale = largest / 127, value = round to
//    nearest even of x * (127 / largest).
//  - Attention goes over a sequence's KV blocks in order of position, in splits of
//    kAttentionSplitBlocks blocks, which are then merged in order.
//  - exp is our own polynomial (lane_math.inc).
// So a row's result depends on its own tokens only: not on who shares the batch, on how a prompt
// is cut into chunks, on the number of threads or on the instruction set.

// Part of Executor::numerics_id(): bumped by every change that changes any bit of any result.
inline constexpr int32_t kArithmeticVersion = 1;

// Tokens per KV block that the kernels are written for: the lanes of a score.
inline constexpr int32_t kKvBlockTokens = 16;

}  // namespace spillway
