// The forward pass on a device against transformers: the tiny model of every architecture, its
// prompt in one piece, in chunks, and token by token. Products are our own GEMV's, so that this
// needs no cuBLASLt.
//
// Tolerance: weights and activations have 11 (f16) or 8 bits (bf16), and the models are random, so
// that errors of layers add up: logits, whose deviation is about 1.3, were seen off by 0.013 and
// 0.074.

#include "worker/cuda/cuda_decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "tests/support/cuda_test.h"
#include "tests/support/gemv_gemm.h"
#include "tests/support/tiny_model_files.h"
#include "worker/cuda/step_metadata.h"
#include "worker/kernels/numerics.h"

namespace spillway {
namespace {

constexpr int32_t kTokensMax = 304;
constexpr int32_t kBlocks = kTokensMax / kKvBlockTokens;
constexpr CudaDecoderLimits kLimits = {
    .rows_max = kTokensMax, .head_rows_max = 8, .sequences_max = 8, .positions_max = kTokensMax};

class CudaDecoderTest : public CudaTestWithCase<std::string> {
 protected:
  void SetUp() override {
    CudaTestWithCase<std::string>::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    model_.emplace(GetParam());
    const auto dimensions = CudaDimensions::For(model_->spec);
    ASSERT_TRUE(dimensions.ok()) << dimensions.status();
    const auto found = DecoderTensors::Find(model_->spec, *model_->tensors);
    ASSERT_TRUE(found.ok()) << found.status();
    auto weights = CudaWeights::Load(model_->spec, *found, *dimensions);
    ASSERT_TRUE(weights.ok()) << weights.status();
    weights_ = *std::move(weights);
    auto cache =
        CudaKvCache::Allocate(*dimensions, weights_.type(), model_->spec.layer_count, kBlocks);
    ASSERT_TRUE(cache.ok()) << cache.status();
    cache_ = *std::move(cache);
    auto decoder = CudaDecoder::Make(model_->spec, *dimensions, weights_, kLimits, gemm_);
    ASSERT_TRUE(decoder.ok()) << decoder.status();
    decoder_ = *std::move(decoder);
    decoder_->set_cache(cache_);
    const StepMetadataLimits limits = {.rows_max = kLimits.rows_max,
                                       .sequences_max = kLimits.sequences_max,
                                       .positions_max = kLimits.positions_max,
                                       .units_max = CudaDecoder::UnitsMax(kLimits)};
    const int64_t bytes = StepMetadata::BytesMax(limits);
    host_metadata_.resize(static_cast<size_t>(bytes));
    metadata_ = Poisoned<std::byte>(bytes);
    plan_.emplace(limits, host_metadata_, metadata_.data());
    for (int32_t i = 0; i < kBlocks; ++i) blocks_.push_back(BlockId{kBlocks - 1 - i});
  }

  // Runs tokens [begin, begin + count); the logits after the last of them.
  std::vector<float> Run(int32_t begin, int32_t count) {
    const SamplingParams params;
    StepRow row;
    row.slice.begin = begin;
    row.slice.count = count;
    row.slice.tokens =
        std::span(model_->tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    row.slice.blocks = blocks_;
    row.slice.samples = true;
    row.sampling = &params;
    plan_->Build({&row, 1});
    EXPECT_TRUE(metadata_.CopyFrom(stream(), host_metadata_).ok());
    absl::Status status = decoder_->Forward(stream(), plan_->step(), nullptr);
    EXPECT_TRUE(status.ok()) << status;
    status = decoder_->ComputeLogits(stream(), plan_->head_rows(), plan_->head_row_count());
    EXPECT_TRUE(status.ok()) << status;
    std::vector<float> logits(static_cast<size_t>(model_->spec.vocabulary_size));
    EXPECT_TRUE(CopyAsync(stream(), logits.data(), decoder_->logits(),
                          static_cast<int64_t>(logits.size() * sizeof(float)))
                    .ok());
    EXPECT_TRUE(stream().Synchronize().ok());
    return logits;
  }

  double tolerance() const { return weights_.type() == HalfType::kF16 ? 0.02 : 0.12; }

  // How far the logits after token `position` are from transformers', at most.
  double Difference(int32_t position, const std::vector<float>& logits) const {
    double largest = 0;
    for (size_t i = 0; i < model_->columns.size(); ++i) {
      const double difference =
          std::abs(logits[model_->columns[i]] - model_->logits[static_cast<size_t>(position)][i]);
      if (!(difference <= largest)) largest = difference;
    }
    return largest;
  }

  int32_t token_count() const { return static_cast<int32_t>(model_->tokens.size()); }

 private:
  std::optional<TinyModelFiles> model_;
  GemvGemm gemm_;
  CudaWeights weights_;
  CudaKvCache cache_;
  std::unique_ptr<CudaDecoder> decoder_;
  std::vector<std::byte> host_metadata_;
  DeviceBuffer<std::byte> metadata_;
  std::optional<StepMetadata> plan_;
  std::vector<BlockId> blocks_;
};

TEST_P(CudaDecoderTest, PromptInOnePieceHasTheLogitsOfTransformers) {
  const std::vector<float> logits = Run(0, token_count());

  const double difference = Difference(token_count() - 1, logits);
  EXPECT_LT(difference, tolerance());
  RecordProperty("difference", std::to_string(difference));
}

TEST_P(CudaDecoderTest, ChunksAndSingleTokensHaveThemToo) {
  constexpr int32_t kSingle = 6;
  const int32_t prefix = token_count() - kSingle;
  double largest = 0;
  for (int32_t begin = 0; begin < prefix; begin += 97) {
    const int32_t count = std::min(97, prefix - begin);
    largest = std::max(largest, Difference(begin + count - 1, Run(begin, count)));
  }
  for (int32_t position = prefix; position < token_count(); ++position) {
    largest = std::max(largest, Difference(position, Run(position, 1)));
  }

  EXPECT_LT(largest, tolerance());
  RecordProperty("difference", std::to_string(largest));
}

INSTANTIATE_TEST_SUITE_P(Models, CudaDecoderTest, ::testing::ValuesIn(TinyModelNames()),
                         [](const ::testing::TestParamInfo<std::string>& test_info) {
                           return test_info.param;
                         });

}  // namespace
}  // namespace spillway
