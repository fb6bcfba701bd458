#include "worker/text/code_point_set.h"

#include <array>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

constexpr char32_t kMax = CodePointSet::kMax;
// Around what the bitmap holds, and the ends.
constexpr std::array<char32_t, 12> kPlaces = {0,      1,       2,       63,      64,       0xFFFE,
                                              0xFFFF, 0x10000, 0x10001, 0x2FFFF, kMax - 1, kMax};

struct Sample {
  CodePointSet set;
  std::array<bool, kPlaces.size()> has{};
};

Sample RandomSample(std::mt19937& random) {
  Sample sample;
  for (size_t count = random() % 5; count > 0; --count) {
    const size_t first = random() % kPlaces.size();
    const size_t last = first + random() % (kPlaces.size() - first);
    sample.set.Add(CodePointRange{kPlaces[first], kPlaces[last]});
    for (size_t i = first; i <= last; ++i) sample.has[i] = true;
  }
  return sample;
}

TEST(CodePointSetTest, IsASet) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const Sample a = RandomSample(random);
    const Sample b = RandomSample(random);
    CodePointSet both = a.set;
    both.Add(b.set);
    const CodePointBitmap bitmap(a.set);
    for (size_t i = 0; i < kPlaces.size(); ++i) {
      const char32_t c = kPlaces[i];
      EXPECT_EQ(a.set.Has(c), a.has[i]) << seed;
      EXPECT_EQ(bitmap.Has(c), a.has[i]) << seed;
      EXPECT_EQ(both.Has(c), a.has[i] || b.has[i]) << seed;
      EXPECT_EQ(a.set.And(b.set).Has(c), a.has[i] && b.has[i]) << seed;
      EXPECT_EQ(a.set.Without(b.set).Has(c), a.has[i] && !b.has[i]) << seed;
      EXPECT_EQ(a.set.Complement().Has(c), !a.has[i]) << seed;
    }
  }
}

TEST(CodePointSetTest, RangesAreSortedAndApart) {
  const std::vector<CodePointRange> ranges = {{10, 12}, {1, 3}, {4, 5}, {11, 20}};
  const CodePointSet set(ranges);

  ASSERT_EQ(set.ranges().size(), 2u);
  EXPECT_EQ(set.ranges()[0].first, 1u);
  EXPECT_EQ(set.ranges()[0].last, 5u);
  EXPECT_EQ(set.ranges()[1].first, 10u);
  EXPECT_EQ(set.ranges()[1].last, 20u);
  EXPECT_TRUE(CodePointSet().empty());
  EXPECT_TRUE(set.Complement().And(set).empty());
}

}  // namespace
}  // namespace spillway
