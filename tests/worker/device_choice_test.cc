#include "worker/device_choice.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

TEST(DeviceChoiceTest, NamesADeviceOrLeavesItOpen) {
  EXPECT_EQ(ParseDeviceChoice("auto")->kind, DeviceChoice::Kind::kAuto);
  EXPECT_EQ(ParseDeviceChoice("cpu")->kind, DeviceChoice::Kind::kCpu);
  EXPECT_EQ(ParseDeviceChoice("cuda")->kind, DeviceChoice::Kind::kCuda);
  EXPECT_EQ(ParseDeviceChoice("cuda")->cuda_index, 0);
  EXPECT_EQ(ParseDeviceChoice("cuda:3")->cuda_index, 3);
}

TEST(DeviceChoiceTest, RefusesAllElseByName) {
  for (const char* const text : {"", "gpu", "cuda:", "cuda:-1", "cuda:64", "cuda:1x", "CPU"}) {
    const absl::Status status = ParseDeviceChoice(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("\"") + text + "\""));
  }
}

TEST(GpuMemoryLimitTest, IsAShareOrASize) {
  EXPECT_EQ(ParseGpuMemoryLimit("0.85")->share, 0.85);
  EXPECT_EQ(ParseGpuMemoryLimit("1")->share, 1);
  EXPECT_EQ(ParseGpuMemoryLimit("0.85")->bytes, 0);
  EXPECT_EQ(ParseGpuMemoryLimit("11.5GiB")->bytes, int64_t{23} << 29);
  EXPECT_EQ(ParseGpuMemoryLimit("8GB")->bytes, 8'000'000'000);
  EXPECT_EQ(ParseGpuMemoryLimit("500 MiB")->bytes, int64_t{500} << 20);
  EXPECT_EQ(ParseGpuMemoryLimit("1024B")->bytes, 1024);
}

TEST(GpuMemoryLimitTest, RefusesAllElse) {
  for (const char* const text :
       {"", "0", "1.5", "-1", "nan", "GiB", "0GB", "1e30TB", "12 apples"}) {
    EXPECT_EQ(ParseGpuMemoryLimit(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace spillway
