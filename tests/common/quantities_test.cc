#include "common/quantities.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

TEST(QuantitiesTest, BytesHaveTheUnitThatFits) {
  EXPECT_EQ(FormatBytes(0), "0 bytes");
  EXPECT_EQ(FormatBytes(1023), "1023 bytes");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(int64_t{97} << 20), "97.0 MiB");
  EXPECT_EQ(FormatBytes((int64_t{21} << 30) / 10), "2.1 GiB");
  EXPECT_EQ(FormatBytes(int64_t{5000} << 40), "5000.0 TiB");
  EXPECT_EQ(FormatBytes(-(int64_t{3} << 20)), "-3.0 MiB");
}

TEST(QuantitiesTest, CountsHaveCommas) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(8192), "8,192");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
  EXPECT_EQ(FormatCount(-100), "-100");
  EXPECT_EQ(FormatCount(-1000), "-1,000");
}

}  // namespace
}  // namespace spillway
