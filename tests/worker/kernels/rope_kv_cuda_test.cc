// worker/kernels/rope_kv_cuda.h on a device, against its oracle. Tolerance: one rounding.

#include "worker/kernels/rope_kv_cuda.h"

#include "tests/worker/kernels/cuda_cases.h"
#include "worker/kernels/rope.h"

namespace spillway {
namespace {

struct Case {
  int32_t heads;
  int32_t kv_heads;
  int32_t head_size;
  int32_t rope_size;
  HalfType type;
  bool has_bias;
  bool has_norms;
};

class RopeKvCudaTest : public CudaTestWithCase<Case> {};

TEST_P(RopeKvCudaTest, IsCloseToTheOracleAndWritesNothingElse) {
  const Case& c = GetParam();
  // Two sequences in scattered blocks, and a row of padding.
  const std::vector<int32_t> positions = {0, 16, 37, 5, 15};
  const std::vector<int32_t> sequences = {0, 0, 0, -1, 1};
  const std::vector<int32_t> table = {4, 1, 3, /*second*/ 2, 0, 5};
  constexpr int32_t kBlocks = 6;
  const auto row_count = static_cast<int32_t>(positions.size());
  const int32_t heads_all = c.heads + 2 * c.kv_heads;
  const int64_t kv_count = int64_t{kBlocks} * c.kv_heads * kKvBlockTokens * c.head_size;
  const int64_t query_count = int64_t{row_count} * c.heads * c.head_size;
  const std::vector<uint16_t> qkv =
      RandomHalves(c.type, int64_t{row_count} * heads_all * c.head_size, /*seed=*/1);
  const std::vector<float> bias = RandomFloats(int64_t{heads_all} * c.head_size, /*seed=*/2);
  const std::vector<float> query_norm = RandomFloats(c.head_size, /*seed=*/3);
  const std::vector<float> key_norm = RandomFloats(c.head_size, /*seed=*/4);
  const std::vector<float> angles = MakeRopeTable(40, MakeRope(10000, c.rope_size));
  // What nobody writes keeps its value.
  std::vector<uint16_t> keys(static_cast<size_t>(kv_count), 0x3c00), values = keys;
  std::vector<uint16_t> queries(static_cast<size_t>(query_count), 0x3c00);
  const DeviceBuffer<uint16_t> device_keys = Upload(keys), device_values = Upload(values);
  const DeviceBuffer<uint16_t> device_queries = Upload(queries);
  const DeviceBuffer<uint16_t> device_qkv = Upload(qkv);
  const DeviceBuffer<float> device_bias = Upload(bias), device_angles = Upload(angles);
  const DeviceBuffer<float> device_query_norm = Upload(query_norm);
  const DeviceBuffer<float> device_key_norm = Upload(key_norm);
  const DeviceBuffer<int32_t> device_positions = Upload(positions);
  const DeviceBuffer<int32_t> device_sequences = Upload(sequences), device_table = Upload(table);
  const std::vector<int32_t> table_begins = {0, 3};
  const DeviceBuffer<int32_t> device_table_begins = Upload(table_begins);
  RopeKvRows rows = {.rows = row_count,
                     .heads = c.heads,
                     .rope_size = c.rope_size,
                     .qkv = qkv.data(),
                     .bias = c.has_bias ? bias.data() : nullptr,
                     .query_norm = c.has_norms ? query_norm.data() : nullptr,
                     .key_norm = c.has_norms ? key_norm.data() : nullptr,
                     .norm_epsilon = 1e-6f,
                     .angles = angles.data(),
                     .positions = positions.data(),
                     .sequences = sequences.data(),
                     .table = {.blocks = table.data(), .begins = table_begins.data()},
                     .kv = {.type = c.type,
                            .kv_heads = c.kv_heads,
                            .head_size = c.head_size,
                            .keys = keys.data(),
                            .values = values.data()},
                     .queries = queries.data()};
  RopeKvReference(rows);

  rows.qkv = device_qkv.data();
  rows.bias = c.has_bias ? device_bias.data() : nullptr;
  rows.query_norm = c.has_norms ? device_query_norm.data() : nullptr;
  rows.key_norm = c.has_norms ? device_key_norm.data() : nullptr;
  rows.angles = device_angles.data();
  rows.positions = device_positions.data();
  rows.sequences = device_sequences.data();
  rows.table = {.blocks = device_table.data(), .begins = device_table_begins.data()};
  rows.kv.keys = device_keys.data();
  rows.kv.values = device_values.data();
  rows.queries = device_queries.data();
  const absl::Status status = RopeKvCuda(stream(), rows);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(c.type, Download(device_queries), queries, EpsilonOf(c.type)));
  EXPECT_TRUE(AreClose(c.type, Download(device_keys), keys, EpsilonOf(c.type)));
  EXPECT_TRUE(AreClose(c.type, Download(device_values), values, EpsilonOf(c.type)));
}

INSTANTIATE_TEST_SUITE_P(Cases, RopeKvCudaTest,
                         ::testing::Values(Case{4, 2, 64, 64, HalfType::kBf16, false, false},
                                           Case{12, 2, 128, 128, HalfType::kBf16, true, false},
                                           Case{8, 8, 128, 128, HalfType::kF16, false, true},
                                           Case{3, 1, 80, 32, HalfType::kF16, true, true},
                                           Case{1, 1, 16, 16, HalfType::kBf16, false, false},
                                           Case{2, 1, 256, 256, HalfType::kBf16, false, true}));

}  // namespace
}  // namespace spillway
