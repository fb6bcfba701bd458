#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/device/cuda_device.h"
#include "worker/device/device_buffer.h"
#include "worker/device/stream.h"

namespace spillway {

// One operator at one shape.
struct GpuMeasurement {
  std::string operator_name;
  std::string shape;        // "rows 1, outputs 4096, inputs 4096"
  double microseconds = 0;  // device time of one call, median
  double microseconds_p90 = 0;
  double bytes = 0;  // the fewest that device memory must move
  double flops = 0;  // multiplications and additions
};

// Times operators on device 0: several calls, on different data so that the L2 cache helps nobody,
// recorded in a graph so that launches take no time, replayed and timed with events.
class GpuBench {
 public:
  // NOT_FOUND without a GPU.
  static absl::StatusOr<GpuBench> Create();

  // One call of the operator on data set `index`.
  using Call = std::function<absl::Status(int32_t index)>;
  struct Work {
    std::string operator_name;
    std::string shape;
    double bytes = 0;
    double flops = 0;
    int32_t data_sets = 1;
  };
  absl::Status Measure(const Work& work, const Call& call);

  // How many data sets of so many bytes are four times the L2 cache, within [1, 64].
  int32_t DataSetsFor(double bytes) const;

  // Device memory with random contents: 16-bit values of about unit variance (bfloat16 bits), or
  // any bytes for quants.
  absl::StatusOr<DeviceBuffer<uint16_t>> RandomHalves(int64_t count);
  absl::StatusOr<DeviceBuffer<float>> Floats(int64_t count, float value);
  absl::StatusOr<DeviceBuffer<int32_t>> Integers(const std::vector<int32_t>& values);

  const Stream& stream() const { return stream_; }
  const CudaDevice& device() const { return device_; }
  const std::vector<GpuMeasurement>& measurements() const { return measurements_; }

 private:
  GpuBench() = default;

  CudaDevice device_;
  Stream stream_;
  std::vector<uint16_t> pattern_;  // what random memory repeats
  std::vector<GpuMeasurement> measurements_;
};

}  // namespace spillway
