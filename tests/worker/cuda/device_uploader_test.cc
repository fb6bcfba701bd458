// Uploads of more pieces than there is page-locked memory for.

#include "worker/cuda/device_uploader.h"

#include <numeric>

#include "tests/support/cuda_test.h"

namespace spillway {
namespace {

using DeviceUploaderTest = CudaTest;

TEST_F(DeviceUploaderTest, EveryRowArrivesWhereItBelongs) {
  constexpr int64_t kRowValues = 24;
  constexpr int64_t kRows = 101;
  auto uploader = DeviceUploader::Create(/*piece_bytes=*/7 * kRowValues * 4 + 50);
  ASSERT_TRUE(uploader.ok()) << uploader.status();
  const DeviceBuffer<int32_t> to = Poisoned<int32_t>(2 * kRows * kRowValues);
  ASSERT_TRUE(stream().Synchronize().ok());

  for (int32_t half = 0; half < 2; ++half) {
    const absl::Status status =
        uploader->Upload(reinterpret_cast<std::byte*>(to.data() + half * kRows * kRowValues), kRows,
                         kRowValues * 4, [&](int64_t first, int64_t count, std::byte* into) {
                           std::iota(reinterpret_cast<int32_t*>(into),
                                     reinterpret_cast<int32_t*>(into) + count * kRowValues,
                                     static_cast<int32_t>((half * kRows + first) * kRowValues));
                         });
    ASSERT_TRUE(status.ok()) << status;
  }
  ASSERT_TRUE(uploader->Finish().ok());

  std::vector<int32_t> expected(2 * kRows * kRowValues);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(Download(to), expected);
}

}  // namespace
}  // namespace spillway
