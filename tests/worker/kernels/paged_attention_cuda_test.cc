// worker/kernels/paged_attention_cuda.h on a device, against its oracles. Tolerance: f32 arithmetic
// and one rounding for decode; for prefill also the rounding of the weights to 16 bits.

#include "worker/kernels/paged_attention_cuda.h"

#include <numeric>
#include <random>

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

constexpr int32_t kSplitTokens = 64;
constexpr uint16_t kNotANumber = 0x7fff;  // in both types: freed blocks may hold it

struct Shape {
  int32_t heads;
  int32_t kv_heads;
  int32_t head_size;
  HalfType type;
  AttentionScoring scoring = {};  // scale 1 stands for 1 / sqrt(head_size)

  AttentionScoring Scoring() const {
    AttentionScoring result = scoring;
    if (result.scale == 1) result.scale = 1 / std::sqrt(static_cast<float>(head_size));
    return result;
  }
};

// Sequences of given lengths in shuffled blocks, on both sides.
struct PagedCase {
  PagedCase(const Shape& shape, const std::vector<int32_t>& lengths_) : lengths(lengths_) {
    const auto sequences = static_cast<int32_t>(lengths.size());
    int32_t blocks = 0;
    for (const int32_t length : lengths) {
      begins.push_back(blocks);
      blocks += (length + 15) / 16 + 1;
    }
    table.resize(static_cast<size_t>(blocks));
    std::iota(table.begin(), table.end(), 0);
    std::shuffle(table.begin(), table.end(), std::mt19937(7));
    kv = {.type = shape.type, .kv_heads = shape.kv_heads, .head_size = shape.head_size};
    const int64_t count = kv.OffsetOf(static_cast<int64_t>(table.size()), 0, 0);
    keys.assign(static_cast<size_t>(count), kNotANumber);
    values = keys;
    uint32_t seed = 10;
    for (int32_t sequence = 0; sequence < sequences; ++sequence) {
      for (int32_t p = 0; p < lengths[static_cast<size_t>(sequence)]; ++p) {
        for (int32_t head = 0; head < shape.kv_heads; ++head) {
          const int32_t block = BlockTable().BlockOf(sequence, p);
          const auto at = kv.OffsetOf(block, head, p % 16);
          const auto key = RandomHalves(shape.type, shape.head_size, ++seed);
          const auto value = RandomHalves(shape.type, shape.head_size, ++seed);
          std::copy(key.begin(), key.end(), keys.begin() + at);
          std::copy(value.begin(), value.end(), values.begin() + at);
        }
      }
    }
    kv.keys = keys.data();
    kv.values = values.data();
  }

  BlockTableCuda BlockTable() const { return {.blocks = table.data(), .begins = begins.data()}; }

  std::vector<int32_t> lengths;
  std::vector<int32_t> table;
  std::vector<int32_t> begins;
  std::vector<uint16_t> keys;
  std::vector<uint16_t> values;
  PagedKvCuda kv;
};

class PagedAttentionCudaTest : public CudaTestWithCase<Shape> {};

TEST_P(PagedAttentionCudaTest, DecodeIsCloseToTheOracle) {
  const Shape& shape = GetParam();
  const PagedCase c(shape, {1, 0, 15, 64, 65, 150});
  const auto sequences = static_cast<int32_t>(c.lengths.size());
  const int64_t count = int64_t{sequences} * shape.heads * shape.head_size;
  const std::vector<uint16_t> queries = RandomHalves(shape.type, count, /*seed=*/1, /*scale=*/2);
  std::vector<uint16_t> expected(static_cast<size_t>(count));
  DecodeAttention attention = {.sequences = sequences,
                               .heads = shape.heads,
                               .scoring = shape.Scoring(),
                               .kv = c.kv,
                               .table = c.BlockTable(),
                               .lengths = c.lengths.data(),
                               .queries = queries.data(),
                               .out = expected.data(),
                               .split_tokens = kSplitTokens};
  // Units of padding stand at the end, as where a graph has room for more.
  std::vector<DecodeUnit> units;
  std::vector<int32_t> first_units;
  for (int32_t sequence = 0; sequence < sequences; ++sequence) {
    first_units.push_back(static_cast<int32_t>(units.size()));
    AddDecodeUnits(sequence, c.lengths[static_cast<size_t>(sequence)], kSplitTokens, units);
  }
  units.resize(units.size() + 3);
  attention.unit_count = static_cast<int32_t>(units.size());
  DecodeAttentionReference(attention);
  const DeviceBuffer<uint16_t> keys = Upload(c.keys), values = Upload(c.values);
  const DeviceBuffer<uint16_t> device_queries = Upload(queries);
  const DeviceBuffer<int32_t> lengths = Upload(c.lengths), table = Upload(c.table);
  const DeviceBuffer<int32_t> begins = Upload(c.begins), device_first_units = Upload(first_units);
  const DeviceBuffer<DecodeUnit> device_units = Upload(units);
  const DeviceBuffer<uint16_t> out = Poisoned<uint16_t>(count);
  const DeviceBuffer<float> partials = Poisoned<float>(attention.PartialCount());

  attention.kv.keys = keys.data();
  attention.kv.values = values.data();
  attention.table = {.blocks = table.data(), .begins = begins.data()};
  attention.lengths = lengths.data();
  attention.queries = device_queries.data();
  attention.out = out.data();
  attention.units = device_units.data();
  attention.first_units = device_first_units.data();
  attention.partials = partials.data();
  const absl::Status status = DecodeAttentionCuda(stream(), attention);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(shape.type, Download(out), expected, EpsilonOf(shape.type)));
}

TEST_P(PagedAttentionCudaTest, PrefillIsCloseToTheOracle) {
  const Shape& shape = GetParam();
  // A first chunk, a later chunk that ends amid a tile, a decode, and a whole prompt of two tiles.
  const PagedCase c(shape, {16, 130, 77, 100});
  const std::vector<int32_t> row_begins = {0, 16, 16 + 33, 16 + 34, 16 + 34 + 100};
  const int64_t count = int64_t{row_begins.back()} * shape.heads * shape.head_size;
  const std::vector<uint16_t> queries = RandomHalves(shape.type, count, /*seed=*/2, /*scale=*/2);
  std::vector<uint16_t> expected(static_cast<size_t>(count));
  PrefillAttention attention = {.sequences = 4,
                                .heads = shape.heads,
                                .count_max = 100,
                                .scoring = shape.Scoring(),
                                .kv = c.kv,
                                .table = c.BlockTable(),
                                .row_begins = row_begins.data(),
                                .lengths = c.lengths.data(),
                                .queries = queries.data(),
                                .out = expected.data()};
  PrefillAttentionReference(attention);
  const DeviceBuffer<uint16_t> keys = Upload(c.keys), values = Upload(c.values);
  const DeviceBuffer<uint16_t> device_queries = Upload(queries);
  const DeviceBuffer<int32_t> lengths = Upload(c.lengths), table = Upload(c.table);
  const DeviceBuffer<int32_t> begins = Upload(c.begins), device_row_begins = Upload(row_begins);
  const DeviceBuffer<uint16_t> out = Poisoned<uint16_t>(count);

  attention.kv.keys = keys.data();
  attention.kv.values = values.data();
  attention.table = {.blocks = table.data(), .begins = begins.data()};
  attention.row_begins = device_row_begins.data();
  attention.lengths = lengths.data();
  attention.queries = device_queries.data();
  attention.out = out.data();
  const absl::Status status = PrefillAttentionCuda(stream(), attention);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(AreClose(shape.type, Download(out), expected, 2 * EpsilonOf(shape.type)));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PagedAttentionCudaTest,
    ::testing::Values(Shape{9, 3, 64, HalfType::kBf16}, Shape{12, 2, 128, HalfType::kBf16},
                      Shape{4, 4, 128, HalfType::kF16}, Shape{2, 1, 80, HalfType::kF16},
                      Shape{11, 1, 32, HalfType::kBf16}, Shape{4, 2, 96, HalfType::kBf16},
                      Shape{2, 1, 16, HalfType::kF16}, Shape{2, 1, 256, HalfType::kBf16},
                      // Windows that begin amid a tile, amid a split, and at its border.
                      Shape{4, 2, 32, HalfType::kF16, {.window = 20}},
                      Shape{2, 2, 64, HalfType::kBf16, {.scale = 0.2f, .window = 64}},
                      Shape{
                          2, 1, 256, HalfType::kF16, {.scale = 0.1f, .soft_cap = 5, .window = 70}},
                      Shape{4, 1, 16, HalfType::kBf16, {.scale = 0.5f, .soft_cap = 2}}));

TEST(PrefillAttentionLimitsTest, OtherHeadSizesAreRefused) {
  const Stream none;
  const absl::Status status =
      PrefillAttentionCuda(none, {.sequences = 1,
                                  .heads = 1,
                                  .count_max = 1,
                                  .kv = {.type = HalfType::kBf16, .kv_heads = 1, .head_size = 48}});

  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace spillway
