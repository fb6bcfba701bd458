// worker/kernels/text_attention.h: every instruction set against the reference and against each
// other.

#include "worker/kernels/text_attention.h"

#include <algorithm>

#include "tests/worker/kernels/kernel_cases.h"

namespace spillway {
namespace {

// Random queries, keys and values of one head, side by side in rows with a gap behind.
struct Case {
  Case(int32_t tokens, int32_t head_size, float scale = 1)
      : rows(RandomFloats(int64_t{tokens} * (3 * head_size + 5), /*seed=*/7, scale)),
        scratch(static_cast<size_t>(TextAttentionScratch(tokens, head_size))),
        out(static_cast<size_t>(tokens) * static_cast<size_t>(head_size + 3), kUntouched) {
    attention = {.queries = rows.data(),
                 .keys = rows.data() + head_size,
                 .values = rows.data() + 2 * head_size,
                 .stride = 3 * head_size + 5,
                 .token_count = tokens,
                 .head_size = head_size,
                 .scratch = scratch.data(),
                 .out = out.data(),
                 .out_stride = head_size + 3};
  }

  static constexpr float kUntouched = 99;
  std::vector<float> rows, scratch, out;
  TextAttention attention;
};

using TextAttentionTest = KernelTest;

TEST_P(TextAttentionTest, IsCloseToTheReferenceAndHasThePortableBits) {
  for (const int32_t tokens : {1, 2, 16, 17, 45, 256}) {
    for (const int32_t head_size : {1, 8, 32, 50, 64}) {
      Case run(tokens, head_size), portable_run(tokens, head_size), expected(tokens, head_size);

      kernels().attend_text(run.attention);
      portable().attend_text(portable_run.attention);
      AttendTextReference(expected.attention);

      EXPECT_TRUE(SameBits(run.out, portable_run.out));
      for (size_t i = 0; i < run.out.size(); ++i) {
        ASSERT_NEAR(run.out[i], expected.out[i], 3e-6f) << tokens << " x " << head_size;
      }
    }
  }
}

TEST_P(TextAttentionTest, LargeScoresStayNumbers) {
  Case run(40, 32, /*scale=*/30), expected(40, 32, /*scale=*/30);

  kernels().attend_text(run.attention);
  AttendTextReference(expected.attention);

  for (size_t i = 0; i < run.out.size(); ++i) EXPECT_NEAR(run.out[i], expected.out[i], 2e-2f);
}

TEST_P(TextAttentionTest, EveryTokenSeesTheWholeText) {
  // The last token's value reaches the first token's output.
  Case run(20, 16), changed(20, 16);
  changed.rows[static_cast<size_t>(19 * changed.attention.stride + 32)] += 100;

  kernels().attend_text(run.attention);
  kernels().attend_text(changed.attention);

  EXPECT_GT(changed.out[0], run.out[0]);
  EXPECT_EQ(changed.out[1], run.out[1]);
}

INSTANTIATE_FOR_EVERY_ISA(TextAttentionTest);

}  // namespace
}  // namespace spillway
