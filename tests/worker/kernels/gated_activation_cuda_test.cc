// worker/kernels/gated_activation_cuda.h on a device, against its oracle. Tolerance: one rounding
// of out.

#include "worker/kernels/gated_activation_cuda.h"

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

struct Case {
  int32_t rows;
  int32_t columns;
  HalfType type;
  GateActivation activation = GateActivation::kSilu;
  bool has_bias = false;
};

class GatedActivationCudaTest : public CudaTestWithCase<Case> {};

TEST_P(GatedActivationCudaTest, IsCloseToTheOracle) {
  const Case& c = GetParam();
  const int64_t count = int64_t{c.rows} * c.columns;
  std::vector<uint16_t> gate_up = RandomHalves(c.type, 2 * count, /*seed=*/1, /*scale=*/4);
  gate_up[0] = FromFloat(c.type, -200.0f);  // e^200 is infinite in f32
  gate_up[1] = FromFloat(c.type, 200.0f);
  const std::vector<float> bias = RandomFloats(2 * c.columns, /*seed=*/2);
  std::vector<uint16_t> expected(static_cast<size_t>(count));
  GatedRows rows = {.rows = c.rows,
                    .columns = c.columns,
                    .type = c.type,
                    .activation = c.activation,
                    .gate_up = gate_up.data(),
                    .bias = c.has_bias ? bias.data() : nullptr,
                    .out = expected.data()};
  GatedActivationReference(rows);
  const DeviceBuffer<uint16_t> device_gate_up = Upload(gate_up);
  const DeviceBuffer<uint16_t> device_out = Poisoned<uint16_t>(count);

  const DeviceBuffer<float> device_bias = Upload(bias);
  rows.gate_up = device_gate_up.data();
  rows.bias = c.has_bias ? device_bias.data() : nullptr;
  rows.out = device_out.data();
  const absl::Status status = GatedActivationCuda(stream(), rows);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(c.type, Download(device_out), expected, EpsilonOf(c.type)));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GatedActivationCudaTest,
    ::testing::Values(Case{1, 8, HalfType::kBf16}, Case{3, 1536, HalfType::kF16},
                      Case{2, 8960, HalfType::kBf16},
                      Case{3, 56, HalfType::kF16, GateActivation::kGeluTanh},
                      Case{2, 2064, HalfType::kBf16, GateActivation::kGeluTanh, true},
                      Case{2, 40, HalfType::kF16, GateActivation::kSilu, true},
                      Case{17, 4104, HalfType::kF16}));

}  // namespace
}  // namespace spillway
