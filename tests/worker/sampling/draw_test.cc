#include "worker/sampling/draw.h"

#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(DrawTest, FinaliserIsSplitMix64s) {
  // The first outputs of splitmix64.c for the seed 1234567 (Rosetta Code's test vector).
  constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;
  EXPECT_EQ(SplitMix64Finalise(1234567 + kGamma), 6457827717110365317u);
  EXPECT_EQ(SplitMix64Finalise(1234567 + 2 * kGamma), 3203168211198807973u);
}

TEST(DrawTest, IsFixedForever) {
  // A resumed sequence goes on with these draws, maybe in a newer build.
  EXPECT_DOUBLE_EQ(UniformDraw(42, 17), 0.44715182605341497);
  EXPECT_DOUBLE_EQ(UniformDraw(~uint64_t{0}, int64_t{1} << 40), 0.5440041384053076);
}

TEST(DrawTest, IsUniformOverPositionsAndOverSeeds) {
  constexpr int kCells = 64;
  constexpr int kDraws = 64 * 1024;
  for (const bool over_seeds : {false, true}) {
    std::vector<int> cells(kCells);
    for (int i = 0; i < kDraws; ++i) {
      const double draw =
          over_seeds ? UniformDraw(static_cast<uint64_t>(i), 100) : UniformDraw(9, i);
      ASSERT_GE(draw, 0);
      ASSERT_LT(draw, 1);
      ++cells[static_cast<size_t>(draw * kCells)];
    }
    double chi_square = 0;
    for (const int count : cells) {
      const double off = count - double{kDraws} / kCells;
      chi_square += off * off / (double{kDraws} / kCells);
    }
    EXPECT_LT(chi_square, 103.4) << "63 degrees of freedom: 1 in 1,000 exceeds this";
    EXPECT_GT(chi_square, 35) << "too even to be random";
  }
}

TEST(DrawTest, NeighbouringSeedsAndPositionsShareNothing) {
  std::set<double> draws;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    for (int64_t position = 0; position < 64; ++position) draws.insert(UniformDraw(seed, position));
  }
  EXPECT_EQ(draws.size(), 64u * 64u);
}

TEST(DrawTest, ConsecutiveDrawsAreUncorrelated) {
  constexpr int kDraws = 10'000;
  double positions = 0;
  double seeds = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double here = UniformDraw(7, i) - 0.5;
    positions += here * (UniformDraw(7, i + 1) - 0.5);
    seeds += here * (UniformDraw(8, i) - 0.5);
  }
  // The mean of products has a standard deviation of 1/12/sqrt(draws).
  EXPECT_LT(std::abs(positions / kDraws), 4.0 / 12 / 100);
  EXPECT_LT(std::abs(seeds / kDraws), 4.0 / 12 / 100);
}

}  // namespace
}  // namespace spillway
