// worker/kernels/soft_cap_cuda.h on a device, against its oracle.

#include "worker/kernels/soft_cap_cuda.h"

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

using SoftCapCudaTest = CudaTest;

TEST_F(SoftCapCudaTest, IsCloseToTheOracleAndLeavesTheRestAlone) {
  std::vector<float> expected = RandomFloats(1000, /*seed=*/1, /*scale=*/40);
  const DeviceBuffer<float> x = Upload(expected);
  SoftCapReference(30, 990, expected.data());

  ASSERT_TRUE(SoftCapCuda(stream(), 30, 990, x.data()).ok());

  EXPECT_TRUE(AreClose(Download(x), expected, 1e-5f));
}

}  // namespace
}  // namespace spillway
