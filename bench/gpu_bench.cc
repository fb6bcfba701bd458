#include "bench/gpu_bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "common/status_macros.h"
#include "worker/device/graph.h"
#include "worker/kernels/half.h"

namespace spillway {
namespace {

constexpr int32_t kReplays = 30;
constexpr int32_t kWarmUps = 3;
constexpr int32_t kCallsPerGraph = 16;  // at least: short kernels need them for the clock's sake
constexpr int64_t kPatternValues = int64_t{8} << 20;
constexpr int32_t kDataSetsMax = 64;

}  // namespace

absl::StatusOr<GpuBench> GpuBench::Create() {
  GpuBench bench;
  ASSIGN_OR_RETURN(const std::vector<CudaDevice> devices, ListCudaDevices());
  bench.device_ = devices.front();
  RETURN_IF_ERROR(UseCudaDevice(bench.device_.index));
  ASSIGN_OR_RETURN(bench.stream_, Stream::Create());
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  bench.pattern_.resize(static_cast<size_t>(kPatternValues));
  for (uint16_t& value : bench.pattern_) value = FloatToBFloat16(normal(random));
  return bench;
}

int32_t GpuBench::DataSetsFor(double bytes) const {
  const double wanted = 4.0 * static_cast<double>(device_.l2_bytes) / std::max(bytes, 1.0);
  return static_cast<int32_t>(std::clamp(std::ceil(wanted), 1.0, double{kDataSetsMax}));
}

absl::Status GpuBench::Measure(const Work& work, const Call& call) {
  const int32_t calls = std::max(work.data_sets, kCallsPerGraph);
  // Kernels are loaded and cuBLASLt's plans made outside the graph.
  for (int32_t index = 0; index < work.data_sets; ++index) RETURN_IF_ERROR(call(index));
  RETURN_IF_ERROR(stream_.Synchronize());
  ASSIGN_OR_RETURN(const Graph graph, Graph::Capture(stream_, [&]() -> absl::Status {
                     for (int32_t i = 0; i < calls; ++i) {
                       RETURN_IF_ERROR(call(i % work.data_sets));
                     }
                     return absl::OkStatus();
                   }));
  ASSIGN_OR_RETURN(const Event begin, Event::Create(Event::Timing::kOn));
  ASSIGN_OR_RETURN(const Event end, Event::Create(Event::Timing::kOn));
  std::vector<double> times;
  for (int32_t replay = 0; replay < kWarmUps + kReplays; ++replay) {
    RETURN_IF_ERROR(begin.Record(stream_));
    RETURN_IF_ERROR(graph.Launch(stream_));
    RETURN_IF_ERROR(end.Record(stream_));
    RETURN_IF_ERROR(end.Synchronize());
    ASSIGN_OR_RETURN(const float milliseconds, MillisecondsBetween(begin, end));
    if (replay >= kWarmUps) times.push_back(milliseconds * 1e3 / calls);
  }
  std::sort(times.begin(), times.end());
  const GpuMeasurement measured = {.operator_name = work.operator_name,
                                   .shape = work.shape,
                                   .microseconds = times[times.size() / 2],
                                   .microseconds_p90 = times[times.size() * 9 / 10],
                                   .bytes = work.bytes,
                                   .flops = work.flops};
  std::printf("%-24s %-64s %10.2f us %8.0f GB/s %8.1f TFLOP/s\n", measured.operator_name.c_str(),
              measured.shape.c_str(), measured.microseconds,
              measured.bytes / measured.microseconds / 1e3,
              measured.flops / measured.microseconds / 1e6);
  std::fflush(stdout);
  measurements_.push_back(measured);
  return absl::OkStatus();
}

absl::StatusOr<DeviceBuffer<uint16_t>> GpuBench::RandomHalves(int64_t count) {
  ASSIGN_OR_RETURN(DeviceBuffer<uint16_t> buffer, DeviceBuffer<uint16_t>::Allocate(count));
  for (int64_t begin = 0; begin < count; begin += kPatternValues) {
    const int64_t part = std::min(kPatternValues, count - begin);
    RETURN_IF_ERROR(CopyAsync(stream_, buffer.data() + begin, pattern_.data(),
                              part * static_cast<int64_t>(sizeof(uint16_t))));
  }
  RETURN_IF_ERROR(stream_.Synchronize());
  return buffer;
}

absl::StatusOr<DeviceBuffer<float>> GpuBench::Floats(int64_t count, float value) {
  ASSIGN_OR_RETURN(DeviceBuffer<float> buffer, DeviceBuffer<float>::Allocate(count));
  const std::vector<float> values(static_cast<size_t>(count), value);
  RETURN_IF_ERROR(buffer.CopyFrom(stream_, values));
  RETURN_IF_ERROR(stream_.Synchronize());
  return buffer;
}

absl::StatusOr<DeviceBuffer<int32_t>> GpuBench::Integers(const std::vector<int32_t>& values) {
  ASSIGN_OR_RETURN(DeviceBuffer<int32_t> buffer,
                   DeviceBuffer<int32_t>::Allocate(static_cast<int64_t>(values.size())));
  RETURN_IF_ERROR(buffer.CopyFrom(stream_, values));
  RETURN_IF_ERROR(stream_.Synchronize());
  return buffer;
}

}  // namespace spillway
