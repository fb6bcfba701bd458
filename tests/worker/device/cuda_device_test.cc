// worker/device: what holds with and without a GPU, and buffers, streams and events on one.

#include "worker/device/cuda_device.h"

#include <numeric>

#include "gmock/gmock.h"
#include "tests/support/cuda_test.h"
#include "worker/device/cublas.h"
#include "worker/device/cuda_status.h"
#include "worker/device/graph.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

TEST(CudaDeviceTest, ListsDevicesOrSaysWhyThereAreNone) {
  const absl::StatusOr<std::vector<CudaDevice>> devices = ListCudaDevices();

  if (devices.ok()) {
    ASSERT_FALSE(devices->empty());
    EXPECT_FALSE(devices->front().name.empty());
    EXPECT_GT(devices->front().memory_bytes, 0);
  } else {
    EXPECT_EQ(devices.status().code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(devices.status().message()), HasSubstr("no CUDA device: "));
  }
}

TEST(CudaStatusTest, NamesTheErrorAndWhatWasBeingDone) {
  EXPECT_TRUE(CudaStatus(0, "copying").ok());

  const absl::Status status = CudaStatus(/*cudaErrorIllegalAddress*/ 700, "gemv [8, 4096]");

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gemv [8, 4096]: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cudaErrorIllegalAddress"));
  EXPECT_EQ(CudaStatus(/*cudaErrorMemoryAllocation*/ 2, "").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(CudaStatus(/*cudaErrorNoDevice*/ 100, "").code(), absl::StatusCode::kNotFound);
}

TEST(CublasLtTest, MissingLibraryIsNotFound) {
  const absl::Status status = CublasLt::CheckLibrary("no/such/libcublasLt.so.13");

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no/such/libcublasLt.so.13"));
}

TEST(CublasLtTest, LibraryWithoutTheFunctionsIsNotFound) {
  const absl::Status status = CublasLt::CheckLibrary("libc.so.6");

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cublasLtCreate"));
}

using DeviceBufferTest = CudaTest;

TEST_F(DeviceBufferTest, KeepsWhatIsCopiedIntoIt) {
  std::vector<int32_t> values(1000);
  std::iota(values.begin(), values.end(), 7);

  const DeviceBuffer<int32_t> buffer = Upload(values);

  EXPECT_EQ(Download(buffer), values);
}

TEST_F(DeviceBufferTest, CopiesFromPinnedMemoryAfterAnEvent) {
  absl::StatusOr<PinnedBuffer<float>> pinned = PinnedBuffer<float>::Allocate(64);
  absl::StatusOr<Stream> other = Stream::Create();
  absl::StatusOr<Event> copied = Event::Create();
  ASSERT_TRUE(pinned.ok() && other.ok() && copied.ok());
  std::fill_n(pinned->data(), 64, 2.5f);
  const DeviceBuffer<float> buffer = Poisoned<float>(64);
  ASSERT_TRUE(stream().Synchronize().ok());

  ASSERT_TRUE(buffer.CopyFrom(*other, pinned->span()).ok());
  ASSERT_TRUE(copied->Record(*other).ok());
  ASSERT_TRUE(stream().WaitFor(*copied).ok());

  EXPECT_EQ(Download(buffer), std::vector<float>(64, 2.5f));
}

TEST_F(DeviceBufferTest, MoreThanTheDeviceHasIsResourceExhaustedAndLeavesItUsable) {
  const absl::StatusOr<DeviceBuffer<std::byte>> buffer =
      DeviceBuffer<std::byte>::Allocate(device().memory_bytes * 2);

  EXPECT_EQ(buffer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(buffer.status().message()), HasSubstr("free"));
  EXPECT_EQ(Download(Upload(std::vector<float>{1, 2})), (std::vector<float>{1, 2}));
}

TEST_F(DeviceBufferTest, GraphRunsWhatWasRecordedAndNotBefore) {
  const DeviceBuffer<uint8_t> buffer = Upload(std::vector<uint8_t>(4, 1));
  const absl::StatusOr<Graph> graph = Graph::Capture(
      stream(), [&] { return FillAsync(stream(), buffer.data(), /*value=*/9, buffer.bytes()); });
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(Download(buffer), std::vector<uint8_t>(4, 1));

  ASSERT_TRUE(graph->Launch(stream()).ok());

  EXPECT_EQ(Download(buffer), std::vector<uint8_t>(4, 9));
}

TEST_F(DeviceBufferTest, FailedCaptureGivesItsStatusAndLeavesTheStreamUsable) {
  const absl::StatusOr<Graph> graph =
      Graph::Capture(stream(), [] { return absl::CancelledError("no"); });

  EXPECT_EQ(graph.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Download(Upload(std::vector<float>{3})), std::vector<float>{3});
}

TEST_F(DeviceBufferTest, EventsMeasureTheTimeBetweenThem) {
  absl::StatusOr<Event> begin = Event::Create(Event::Timing::kOn);
  absl::StatusOr<Event> end = Event::Create(Event::Timing::kOn);
  ASSERT_TRUE(begin.ok() && end.ok());
  const DeviceBuffer<std::byte> buffer = Poisoned<std::byte>(1 << 24);

  ASSERT_TRUE(begin->Record(stream()).ok());
  ASSERT_TRUE(FillAsync(stream(), buffer.data(), 0, buffer.bytes()).ok());
  ASSERT_TRUE(end->Record(stream()).ok());
  ASSERT_TRUE(end->Synchronize().ok());
  const absl::StatusOr<float> milliseconds = MillisecondsBetween(*begin, *end);

  ASSERT_TRUE(milliseconds.ok()) << milliseconds.status();
  EXPECT_GT(*milliseconds, 0);
}

}  // namespace
}  // namespace spillway
