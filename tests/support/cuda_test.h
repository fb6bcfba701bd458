#pragma once

#include <vector>

#include "common/check.h"
#include "gtest/gtest.h"
#include "worker/device/cuda_device.h"
#include "worker/device/device_buffer.h"
#include "worker/device/stream.h"

namespace spillway {

// A test that needs a GPU: skipped, with the reason, where there is none. Uses device 0.
template <typename Base = ::testing::Test>
class CudaTestBase : public Base {
 protected:
  void SetUp() override {
    const absl::StatusOr<std::vector<CudaDevice>> devices = ListCudaDevices();
    if (!devices.ok()) GTEST_SKIP() << devices.status().message();
    device_ = devices->front();
    ASSERT_TRUE(UseCudaDevice(device_.index).ok());
    absl::StatusOr<Stream> stream = Stream::Create();
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *std::move(stream);
  }

  const Stream& stream() const { return stream_; }
  const CudaDevice& device() const { return device_; }

  // Device copies of host values. A device that has no room for a test's is broken.
  template <typename T>
  DeviceBuffer<T> Upload(const std::vector<T>& values) const {
    DeviceBuffer<T> buffer = Poisoned<T>(static_cast<int64_t>(values.size()));
    CHECK(buffer.CopyFrom(stream_, values).ok());
    CHECK(stream_.Synchronize().ok());
    return buffer;
  }

  // Room for results, all bits set (not-a-number in every float type), so that what a kernel
  // doesn't write is seen.
  template <typename T>
  DeviceBuffer<T> Poisoned(int64_t size) const {
    absl::StatusOr<DeviceBuffer<T>> buffer = DeviceBuffer<T>::Allocate(size);
    CHECK(buffer.ok());
    CHECK(FillAsync(stream_, buffer->data(), 0xff, buffer->bytes()).ok());
    return *std::move(buffer);
  }

  // What the device has once the stream has run; errors of kernels fail the test here.
  template <typename T>
  std::vector<T> Download(const DeviceBuffer<T>& buffer) const {
    std::vector<T> values(static_cast<size_t>(buffer.size()));
    const absl::Status copied = buffer.CopyTo(stream_, values);
    const absl::Status ran = stream_.Synchronize();
    EXPECT_TRUE(copied.ok()) << copied;
    EXPECT_TRUE(ran.ok()) << ran;
    return values;
  }

 private:
  CudaDevice device_;
  Stream stream_;
};

using CudaTest = CudaTestBase<>;
template <typename Case>
using CudaTestWithCase = CudaTestBase<::testing::TestWithParam<Case>>;

}  // namespace spillway
