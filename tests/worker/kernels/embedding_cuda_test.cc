// worker/kernels/embedding_cuda.h on a device, bit for bit against its oracle.

#include "worker/kernels/embedding_cuda.h"

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

class EmbeddingCudaTest : public CudaTestWithCase<HalfType> {};

TEST_P(EmbeddingCudaTest, GathersRowsAndZeroesThoseWithoutAToken) {
  constexpr int32_t kVocabulary = 50;
  constexpr int32_t kColumns =
      1160;  // more than a block's threads take at once, and not a multiple
  const std::vector<uint16_t> table =
      RandomHalves(GetParam(), int64_t{kVocabulary} * kColumns, /*seed=*/1);
  const std::vector<int32_t> tokens = {49, 0, -1, 7, 50, 7};
  const auto count = static_cast<int64_t>(tokens.size()) * kColumns;
  std::vector<float> expected(static_cast<size_t>(count));
  EmbeddingRows rows = {.rows = static_cast<int32_t>(tokens.size()),
                        .columns = kColumns,
                        .vocabulary = kVocabulary,
                        .type = GetParam(),
                        .scale = 1.5f,
                        .table = table.data(),
                        .tokens = tokens.data(),
                        .residual = expected.data()};
  EmbeddingReference(rows);
  const DeviceBuffer<uint16_t> device_table = Upload(table);
  const DeviceBuffer<int32_t> device_tokens = Upload(tokens);
  const DeviceBuffer<float> device_residual = Poisoned<float>(count);

  rows.table = device_table.data();
  rows.tokens = device_tokens.data();
  rows.residual = device_residual.data();
  const absl::Status status = EmbeddingCuda(stream(), rows);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Download(device_residual), expected);
}

INSTANTIATE_TEST_SUITE_P(Types, EmbeddingCudaTest,
                         ::testing::Values(HalfType::kF16, HalfType::kBf16));

}  // namespace
}  // namespace spillway
