#include "worker/sampling/candidates.h"

#include <algorithm>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

std::vector<TokenId> Tokens(const std::vector<Candidate>& candidates) {
  std::vector<TokenId> tokens;
  for (const Candidate& candidate : candidates) tokens.push_back(candidate.token);
  return tokens;
}

std::vector<TokenId> Likeliest(size_t count, std::vector<Candidate> candidates) {
  std::vector<Candidate> scratch;
  KeepLikeliest(count, candidates, scratch);
  return Tokens(candidates);
}

std::vector<TokenId> Mass(double mass, std::vector<Candidate> candidates) {
  std::vector<Candidate> scratch;
  KeepMass(mass, candidates, scratch);
  return Tokens(candidates);
}

TEST(CandidatesTest, KeepsTheLikeliestInTheirOrder) {
  const std::vector<Candidate> candidates = {{0, 1}, {1, 5}, {2, 3}, {3, 4}};

  EXPECT_THAT(Likeliest(2, candidates), ElementsAre(1, 3));
  EXPECT_THAT(Likeliest(3, candidates), ElementsAre(1, 2, 3));
  EXPECT_THAT(Likeliest(4, candidates), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Likeliest(9, candidates), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Likeliest(0, candidates), ElementsAre());
}

TEST(CandidatesTest, OfEqualsTheLowerIdsGoFirst) {
  EXPECT_THAT(Likeliest(2, {{4, 1}, {5, 1}, {6, 1}}), ElementsAre(4, 5));
  EXPECT_THAT(Mass(2, {{4, 1}, {5, 1}, {6, 1}}), ElementsAre(4, 5));
}

TEST(CandidatesTest, KeepsTheFewestThatReachTheMass) {
  const std::vector<Candidate> candidates = {{0, 0.125f}, {1, 0.5f}, {2, 0.125f}, {3, 0.25f}};

  EXPECT_THAT(Mass(0.01, candidates), ElementsAre(1));
  EXPECT_THAT(Mass(0.5, candidates), ElementsAre(1));
  EXPECT_THAT(Mass(0.51, candidates), ElementsAre(1, 3));
  EXPECT_THAT(Mass(0.8, candidates), ElementsAre(0, 1, 3));
  EXPECT_THAT(Mass(1.0, candidates), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Mass(7.0, candidates), ElementsAre(0, 1, 2, 3));
}

TEST(CandidatesTest, HalfOfManyMayBeExactlyTheMass) {
  std::vector<Candidate> candidates;
  for (TokenId token = 0; token < 64; ++token) candidates.push_back({token, 0.5f});

  EXPECT_EQ(Mass(16, candidates).size(), 32u);
  EXPECT_EQ(Mass(16.25, candidates).size(), 33u);
}

TEST(CandidatesTest, MassOfManyIsThatOfASortedWalk) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<Candidate> candidates(1 + random() % 500);
    double total = 0;
    for (size_t i = 0; i < candidates.size(); ++i) {
      // Few distinct values, so that many are equal.
      candidates[i] = {static_cast<TokenId>(i), static_cast<float>(1 + random() % 20) / 64};
      total += candidates[i].value;
    }
    const double mass = total * static_cast<double>(random() % 101) / 100;
    std::vector<Candidate> sorted = candidates;
    std::sort(sorted.begin(), sorted.end(), Likelier);
    std::vector<TokenId> expected;
    double sum = 0;
    for (const Candidate& candidate : sorted) {
      expected.push_back(candidate.token);
      sum += candidate.value;
      if (sum >= mass) break;
    }
    std::sort(expected.begin(), expected.end());

    ASSERT_EQ(Mass(mass, candidates), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace spillway
