#include "worker/model/gguf_encoder.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_builder.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// A bert's keys, with what a test adds or puts in their place.
class Bert {
 public:
  Bert() {
    builder_.String("general.architecture", "bert")
        .Uint32("bert.block_count", 2)
        .Uint32("bert.feed_forward_length", 96)
        .Float32("bert.attention.layer_norm_epsilon", 1e-12f)
        .Tensor("token_embd.weight", TensorType::kF32, {64, 100})
        .Tensor("token_types.weight", TensorType::kF32, {64, 2});
  }
  absl::StatusOr<EncoderSpec> Read(int32_t heads = 4, int64_t positions = 50) {
    builder_.Uint32("bert.embedding_length", 64)
        .Uint32("bert.attention.head_count", static_cast<uint32_t>(heads))
        .Tensor("position_embd.weight", TensorType::kF32, {64, positions});
    bytes_ = builder_.Build();
    file_ = *GgufFile::Parse(bytes_);
    EXPECT_TRUE(IsEncoder(*file_));
    return EncoderSpecFromGguf(*file_);
  }
  GgufBuilder& builder() { return builder_; }

 private:
  GgufBuilder builder_;
  std::vector<std::byte> bytes_;
  std::unique_ptr<GgufFile> file_;
};

TEST(GgufEncoderTest, SizesAreTheFiles) {
  Bert bert;
  bert.builder()
      .Uint32("bert.context_length", 40)
      .Uint32("bert.pooling_type", 2)
      .Bool("bert.attention.causal", false);
  const auto spec = bert.Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->layer_count, 2);
  EXPECT_EQ(spec->hidden_size, 64);
  EXPECT_EQ(spec->intermediate_size, 96);
  EXPECT_EQ(spec->head_count, 4);
  EXPECT_EQ(spec->vocabulary_size, 100);
  EXPECT_EQ(spec->position_count, 50);
  EXPECT_EQ(spec->token_type_count, 2);
  EXPECT_EQ(spec->text_tokens_max, 40);
  EXPECT_EQ(spec->pooling, EncoderSpec::Pooling::kCls);
  EXPECT_TRUE(spec->normalize);
}

TEST(GgufEncoderTest, WithoutFurtherKeysItIsTheMeanOverAllPositions) {
  const auto spec = Bert().Read();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->pooling, EncoderSpec::Pooling::kMean);
  EXPECT_EQ(spec->text_tokens_max, 50);
}

TEST(GgufEncoderTest, BadValuesAndVariantsAreNamed) {
  const auto refusal = [](void (*change)(GgufBuilder&), int32_t heads = 4, int64_t positions = 50) {
    Bert bert;
    change(bert.builder());
    return std::string(bert.Read(heads, positions).status().message());
  };
  const auto nothing = [](GgufBuilder&) {};
  EXPECT_THAT(refusal([](GgufBuilder& file) { file.Uint32("bert.pooling_type", 3); }),
              HasSubstr("bert.pooling_type is 3; this build runs: 1 (mean), 2 (cls)"));
  EXPECT_THAT(refusal([](GgufBuilder& file) { file.Bool("bert.attention.causal", true); }),
              HasSubstr("bert.attention.causal"));
  EXPECT_THAT(refusal([](GgufBuilder& file) { file.Uint32("bert.context_length", 51); }),
              HasSubstr("bert.context_length is 51, beyond 1 to 50"));
  EXPECT_THAT(refusal(nothing, /*heads=*/5), HasSubstr("not a multiple of"));
  EXPECT_THAT(refusal(nothing, 4, /*positions=*/65'537), HasSubstr("beyond 1 to 65536"));
}

TEST(GgufEncoderTest, TextModelsAreNone) {
  const std::vector<std::byte> bytes =
      GgufBuilder().String("general.architecture", "llama").Build();
  EXPECT_FALSE(IsEncoder(**GgufFile::Parse(bytes)));
  const std::vector<std::byte> empty = GgufBuilder().Build();
  EXPECT_FALSE(IsEncoder(**GgufFile::Parse(empty)));
}

}  // namespace
}  // namespace spillway
