// worker/kernels/attention.h: every instruction set against the reference, bit for bit against each
// other, and for every way of cutting rows into tiles.

#include "worker/kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/worker/kernels/kernel_cases.h"
#include "worker/kernels/half.h"

namespace spillway {
namespace {

struct Shape {
  int32_t kv_heads;
  int32_t group;
  int32_t head_size;  // of queries; in KV memory it is rounded up
  int32_t tokens;
  int32_t window = 0;
  float soft_cap = 0;
  float scale = 0;  // 0: 1 / sqrt(head_size)
};

// A sequence's KV in scattered blocks, and one query for each of its tokens.
class Sequence {
 public:
  Sequence(const Shape& shape, const CpuKernels& kernels)
      : shape_(shape),
        kernels_(kernels),
        scoring_({.scale = shape.scale != 0 ? shape.scale
                                            : 1 / std::sqrt(static_cast<float>(shape.head_size)),
                  .soft_cap = shape.soft_cap,
                  .window = shape.window,
                  .head_size = shape.head_size}) {
    const int32_t block_count = (shape.tokens + 15) / 16;
    kv_.kv_head_count = shape.kv_heads;
    kv_.head_size = (shape.head_size + 15) / 16 * 16;
    kv_.block_stride = int64_t{16} * shape.kv_heads * kv_.head_size + 32;  // not dense
    // What no token has written must not matter: not-a-number, as freed blocks may hold it.
    const auto halves = static_cast<size_t>(kv_.block_stride * (block_count + 1));
    keys_.assign(halves, 0x7e00);
    values_.assign(halves, 0x7e00);
    kv_.keys = keys_.data();
    kv_.values = values_.data();
    for (int32_t i = 0; i < block_count; ++i) blocks_.push_back(block_count - i);
    queries_ = RandomFloats(int64_t{shape.tokens} * QueryStride(), /*seed=*/41, /*scale=*/2);
    const int64_t kv_size = int64_t{shape.kv_heads} * shape.head_size;
    const std::vector<float> k = RandomFloats(shape.tokens * kv_size, /*seed=*/42);
    const std::vector<float> v = RandomFloats(shape.tokens * kv_size, /*seed=*/43);
    for (int32_t p = 0; p < shape.tokens; ++p) {
      for (int32_t head = 0; head < shape.kv_heads; ++head) {
        const int64_t at = kv_.OffsetOf(blocks_[static_cast<size_t>(p / 16)], head);
        const auto padded = [&](const std::vector<float>& x) {
          const auto from = x.begin() + p * kv_size + head * shape.head_size;
          std::vector<float> result(from, from + shape.head_size);
          result.resize(static_cast<size_t>(kv_.head_size));
          return result;
        };
        kernels.store_key_value(padded(k).data(), padded(v).data(), kv_.head_size, p % 16,
                                kv_.keys + at, kv_.values + at);
      }
    }
  }

  // All rows [first, first + count) as one tile.
  std::vector<float> Attend(int32_t first, int32_t count, int32_t kv_head) const {
    const int64_t state_size = AttentionStateSize(kv_.head_size);
    const int32_t queries = count * shape_.group;
    std::vector<float> states(static_cast<size_t>(queries * state_size));
    std::vector<float> next(states.size());
    std::vector<int32_t> blocks = blocks_;
    // What no row sees must not be read: such blocks have no place.
    const int32_t first_visible = scoring_.FirstVisible(first);
    for (int32_t i = 0; i < first_visible / 16; ++i) blocks[static_cast<size_t>(i)] = 1 << 30;
    const AttentionTile tile = {
        .queries = &queries_[first * QueryStride() + kv_head * shape_.group * shape_.head_size],
        .query_stride = QueryStride(),
        .row_count = count,
        .group = shape_.group,
        .first_position = first,
        .kv_head = kv_head,
        .blocks = blocks.data(),
        .scoring = scoring_};
    for (int32_t split = 0; split <= (first + count - 1) / 256; ++split) {
      kernels_.attend_split(tile, kv_, split, next.data());
      for (int32_t query = 0; query < queries; ++query) {
        const int32_t position = first + query / shape_.group;
        const int32_t first_split = scoring_.FirstVisible(position) / 256;
        if (split < first_split || split > position / 256) continue;
        const float* const from = &next[query * state_size];
        float* const to = &states[query * state_size];
        if (split == first_split) {
          std::copy_n(from, state_size, to);
        } else {
          kernels_.merge_attention(from, kv_.head_size, to);
        }
      }
    }
    std::vector<float> out;
    std::vector<float> head(static_cast<size_t>(kv_.head_size));
    for (int32_t query = 0; query < queries; ++query) {
      kernels_.finish_attention(&states[query * state_size], kv_.head_size, head.data());
      out.insert(out.end(), head.begin(), head.begin() + shape_.head_size);
    }
    return out;
  }

  std::vector<float> Expected(int32_t position, int32_t kv_head) const {
    std::vector<float> out(static_cast<size_t>(shape_.group * shape_.head_size));
    for (int32_t g = 0; g < shape_.group; ++g) {
      AttentionReference(
          &queries_[position * QueryStride() + (kv_head * shape_.group + g) * shape_.head_size],
          kv_, kv_head, blocks_.data(), position, scoring_, &out[g * shape_.head_size]);
    }
    return out;
  }

 private:
  int64_t QueryStride() const { return int64_t{shape_.kv_heads} * shape_.group * shape_.head_size; }

  const Shape shape_;
  const CpuKernels& kernels_;
  const AttentionScoring scoring_;
  KvLayer kv_;
  std::vector<uint16_t> keys_;
  std::vector<uint16_t> values_;
  std::vector<int32_t> blocks_;
  std::vector<float> queries_;
};

constexpr Shape kShapes[] = {
    {.kv_heads = 3, .group = 3, .head_size = 64, .tokens = 40},
    {.kv_heads = 1, .group = 1, .head_size = 16, .tokens = 17},
    {.kv_heads = 2, .group = 7, .head_size = 128, .tokens = 33},
    {.kv_heads = 1, .group = 2, .head_size = 80, .tokens = 600},
    {.kv_heads = 2, .group = 2, .head_size = 10, .tokens = 40, .scale = 0.7f},
    {.kv_heads = 1, .group = 4, .head_size = 16, .tokens = 300, .soft_cap = 1.5f},
    {.kv_heads = 1, .group = 3, .head_size = 32, .tokens = 40, .window = 1},
    {.kv_heads = 1, .group = 1, .head_size = 32, .tokens = 600, .window = 20},
    {.kv_heads = 1, .group = 1, .head_size = 32, .tokens = 600, .window = 256},
    {.kv_heads = 2, .group = 2, .head_size = 24, .tokens = 600, .window = 290, .soft_cap = 3},
    {.kv_heads = 1, .group = 1, .head_size = 16, .tokens = 40, .window = 1 << 24},
};

class AttentionTest : public KernelTest {};

TEST_P(AttentionTest, IsCloseToTheReferenceAndHasThePortableBits) {
  for (const Shape& shape : kShapes) {
    const Sequence sequence(shape, kernels());
    const Sequence same(shape, portable());
    for (const int32_t position : {0, 1, 15, 16, 19, 20, 32, 255, 256, 275, 289, 300, 511, 599}) {
      if (position >= shape.tokens) continue;
      for (int32_t head = 0; head < shape.kv_heads; ++head) {
        const std::vector<float> out = sequence.Attend(position, 1, head);
        EXPECT_TRUE(SameBits(out, same.Attend(position, 1, head))) << position;
        const std::vector<float> expected = sequence.Expected(position, head);
        for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 3e-6f);
      }
    }
  }
}

TEST_P(AttentionTest, RowDoesNotDependOnItsTile) {
  for (const Shape& shape : kShapes) {
    const Sequence sequence(shape, kernels());
    const int32_t rows_max = kAttentionQueriesMax / shape.group;
    for (const int32_t count : {2, 3, 4, 8, 32}) {
      if (count > rows_max) continue;
      for (const int32_t first : {0, 5, 14, 250, 255, 270, 500}) {
        if (first + count > shape.tokens) continue;
        const std::vector<float> together = sequence.Attend(first, count, 0);
        for (int32_t row = 0; row < count; ++row) {
          const std::vector<float> alone = sequence.Attend(first + row, 1, 0);
          EXPECT_EQ(0, std::memcmp(alone.data(), &together[row * alone.size()],
                                   alone.size() * sizeof(float)))
              << "row " << first + row << " in a tile of " << count;
        }
      }
    }
  }
}

TEST_P(AttentionTest, StoresTheBitsOfTheSoftwareHalf) {
  std::vector<float> key = RandomFloats(16, /*seed=*/44);
  key[0] = 1e6f;
  key[1] = 1e-7f;
  key[2] = -0.0f;
  std::vector<uint16_t> keys(16 * 16), values(16 * 16);

  kernels().store_key_value(key.data(), key.data(), 16, /*token=*/5, keys.data(), values.data());

  for (size_t d = 0; d < 16; ++d) {
    EXPECT_EQ(keys[d * 16 + 5], FloatToHalf(key[d]));
    EXPECT_EQ(values[5 * 16 + d], FloatToHalf(key[d]));
    EXPECT_EQ(keys[d * 16 + 6], 0);
  }
}

INSTANTIATE_FOR_EVERY_ISA(AttentionTest);

}  // namespace
}  // namespace spillway
