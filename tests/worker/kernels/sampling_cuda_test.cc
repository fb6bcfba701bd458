// worker/kernels/sampling_cuda.h on a device. The chosen token's score must be within 1e-3 of the
// oracle's best (the device's logarithms are not the host's).

#include "worker/kernels/sampling_cuda.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <set>

#include "tests/worker/kernels/cuda_cases.h"

namespace spillway {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SamplingCudaTest : public CudaTest {
 protected:
  // `batch` with host pointers.
  std::vector<int32_t> Sample(SamplingBatch batch, const std::vector<float>& logits,
                              const std::vector<SamplingRow>& params,
                              const std::vector<uint32_t>& counts = {},
                              const std::vector<uint32_t>& masks = {},
                              const std::vector<LogitBias>& biases = {}) {
    const DeviceBuffer<float> device_logits = Upload(logits);
    const DeviceBuffer<SamplingRow> device_params = Upload(params);
    const DeviceBuffer<uint32_t> device_counts = Upload(counts), device_masks = Upload(masks);
    const DeviceBuffer<float> adjusted = Poisoned<float>(static_cast<int64_t>(logits.size()));
    const DeviceBuffer<float> partials =
        Poisoned<float>(batch.rows * SamplingBatch::PartialsPerRow(batch.vocabulary));
    const DeviceBuffer<int32_t> tokens = Poisoned<int32_t>(batch.rows);
    const DeviceBuffer<LogitBias> device_biases = Upload(biases);
    batch.logits = device_logits.data();
    batch.params = device_params.data();
    batch.counts = counts.empty() ? nullptr : device_counts.data();
    batch.masks = masks.empty() ? nullptr : device_masks.data();
    batch.adjusted = adjusted.data();
    batch.partials = partials.data();
    batch.tokens = tokens.data();
    batch.biases = device_biases.data();
    batch.bias_count = static_cast<int32_t>(biases.size());
    const absl::Status status = SampleCuda(stream(), batch);
    EXPECT_TRUE(status.ok()) << status;
    return Download(tokens);
  }
};

TEST_F(SamplingCudaTest, ChoosesTheOraclesBestForEveryKindOfParams) {
  constexpr int32_t kVocabulary = 9001;  // three chunks, the last not full
  const std::vector<SamplingRow> params = {
      {.temperature = 0},
      {.seed = 1, .position = 5},
      {.temperature = 0.7f, .top_k = 1, .seed = 2, .position = 9},
      {.temperature = 1.5f, .top_k = 40, .seed = 3, .position = 17},
      {.temperature = 0.8f, .top_p = 0.5f, .seed = 4, .position = 100000},
      {.temperature = 1, .top_p = 0.9f, .min_p = 0.05f, .top_k = 100, .seed = ~uint64_t{0}},
      {.temperature = 2, .min_p = 0.3f, .seed = 6},
      {.presence_penalty = 1.5f,
       .frequency_penalty = 0.5f,
       .repetition_penalty = 1.3f,
       .slot = 1,
       .seed = 7,
       .position = 3},
      {.temperature = 0, .repetition_penalty = 1.3f, .slot = 0}};
  const auto rows = static_cast<int32_t>(params.size());
  std::vector<float> logits = RandomFloats(int64_t{rows} * kVocabulary, /*seed=*/1, /*scale=*/3);
  std::vector<uint32_t> counts(2 * kVocabulary);
  for (uint32_t i = 0; i < 2 * kVocabulary; ++i) counts[i] = i % 5 == 0 ? i % 7 * 2 + 1 : 0;
  const std::vector<uint32_t> masks(static_cast<size_t>(rows) * ((kVocabulary + 31) / 32),
                                    0xf7fbfdfeu);
  // One makes a token of the greedy row the best, one bans what would be another row's best.
  const std::vector<LogitBias> biases = {{.row = 8, .token = 5, .bias = 100},
                                         {.row = 2, .token = 17, .bias = 30},
                                         {.row = 0, .token = 44, .bias = -kInfinity}};
  logits[44] = 50;
  SamplingBatch batch = {.rows = rows,
                         .vocabulary = kVocabulary,
                         .logits = logits.data(),
                         .params = params.data(),
                         .biases = biases.data(),
                         .bias_count = static_cast<int32_t>(biases.size()),
                         .counts = counts.data(),
                         .masks = masks.data()};

  const std::vector<int32_t> sampled = Sample(batch, logits, params, counts, masks, biases);

  for (int32_t row = 0; row < rows; ++row) {
    const std::vector<double> scores = SamplingScoresReference(batch, row);
    const int32_t token = sampled[static_cast<size_t>(row)];
    ASSERT_TRUE(token >= 0 && token < kVocabulary) << "row " << row;
    EXPECT_GE(scores[static_cast<size_t>(token)],
              *std::max_element(scores.begin(), scores.end()) - 1e-3)
        << "row " << row;
  }
}

TEST_F(SamplingCudaTest, GreedyTakesTheLowestOfEqualsAndNeverNotANumber) {
  constexpr int32_t kVocabulary = 5000;
  std::vector<float> logits(kVocabulary, -1.0f);
  logits[3] = std::nanf("");
  logits[4100] = logits[4999] = logits[77] = 2.0f;

  const std::vector<int32_t> sampled =
      Sample({.rows = 1, .vocabulary = kVocabulary}, logits, {{.temperature = 0}});

  EXPECT_EQ(sampled[0], 77);
}

TEST_F(SamplingCudaTest, RowWithoutAnyChoiceGetsMinusOneAndOthersTheirs) {
  constexpr int32_t kVocabulary = 64;
  std::vector<float> logits(2 * kVocabulary, -kInfinity);
  logits[kVocabulary + 9] = 0.5f;

  const std::vector<int32_t> sampled =
      Sample({.rows = 2, .vocabulary = kVocabulary}, logits,
             {{.top_p = 0.9f, .top_k = 5}, {.top_p = 0.9f, .top_k = 5}});

  EXPECT_EQ(sampled, (std::vector<int32_t>{-1, 9}));
}

TEST_F(SamplingCudaTest, DrawsHaveTheDistributionOfTheSoftmax) {
  constexpr int32_t kRows = 1500;
  const std::vector<float> row = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  std::vector<float> logits;
  std::vector<SamplingRow> params;
  for (int32_t i = 0; i < kRows; ++i) {
    logits.insert(logits.end(), row.begin(), row.end());
    params.push_back({.seed = 11, .position = i});
  }

  const std::vector<int32_t> sampled = Sample({.rows = kRows, .vocabulary = 4}, logits, params);

  std::map<int32_t, int32_t> counts;
  for (const int32_t token : sampled) ++counts[token];
  for (int32_t token = 0; token < 4; ++token) {
    const float share = std::exp(row[static_cast<size_t>(token)]);
    const float deviation = std::sqrt(kRows * share * (1 - share));  // of a binomial count
    EXPECT_NEAR(static_cast<float>(counts[token]), kRows * share, 4 * deviation) << token;
  }
}

// So hot that all kept tokens are about equally likely: those kept by mistake would be drawn.
TEST_F(SamplingCudaTest, FiltersKeepTheOraclesTokensAndNoOthers) {
  constexpr int32_t kVocabulary = 500;
  constexpr int32_t kRowsPerFilter = 150;
  const std::vector<float> wide = RandomFloats(kVocabulary, /*seed=*/5, /*scale=*/3);
  // Three units in the last place apart: only the last digits of their keys differ, and the 12 best
  // are 8 of one 24-bit prefix and 4 of the next.
  std::vector<float> dense;
  for (uint32_t i = 0; i < kVocabulary; ++i) {
    dense.push_back(std::bit_cast<float>(0x40a00000u + 60 + 3 * (i * 7 % kVocabulary)));
  }
  const struct {
    SamplingRow params;
    const std::vector<float>& logits;
  } filters[] = {{{.temperature = 100, .top_k = 7}, wide},
                 {{.temperature = 100, .top_p = 0.5f, .top_k = 12}, wide},
                 {{.temperature = 1, .min_p = 0.4f}, wide},
                 {{.temperature = 1, .top_k = 12}, dense},
                 {{.temperature = 1, .top_p = 0.023f}, dense}};
  std::vector<float> logits;
  std::vector<SamplingRow> params;
  for (const auto& filter : filters) {
    for (int32_t i = 0; i < kRowsPerFilter; ++i) {
      logits.insert(logits.end(), filter.logits.begin(), filter.logits.end());
      params.push_back(filter.params);
      params.back().position = i;
    }
  }
  const SamplingBatch batch = {.rows = static_cast<int32_t>(params.size()),
                               .vocabulary = kVocabulary,
                               .logits = logits.data(),
                               .params = params.data()};

  const std::vector<int32_t> sampled = Sample(batch, logits, params);

  for (int32_t filter = 0; filter < 5; ++filter) {
    const std::vector<double> scores = SamplingScoresReference(batch, filter * kRowsPerFilter);
    std::set<int32_t> kept, drawn;
    for (int32_t token = 0; token < kVocabulary; ++token) {
      if (scores[static_cast<size_t>(token)] > -kInfinity) kept.insert(token);
    }
    for (int32_t i = 0; i < kRowsPerFilter; ++i) {
      drawn.insert(sampled[static_cast<size_t>(filter * kRowsPerFilter + i)]);
    }
    EXPECT_EQ(drawn, kept) << "filter " << filter;
  }
}

TEST_F(SamplingCudaTest, LeavesTokensForTheNextStepAndCountsThem) {
  constexpr int32_t kVocabulary = 40;
  std::vector<float> logits(3 * 48, -1.0f);  // rows apart, taken in another order
  logits[48 + 7] = 2;
  logits[2 * 48 + 11] = 2;
  std::fill_n(logits.begin(), 48, -kInfinity);
  const std::vector<int32_t> logits_rows = {2, 1, 0};
  const std::vector<SamplingRow> params = {{.temperature = 0, .slot = 1, .sampled_slot = 1},
                                           {.temperature = 0, .sampled_slot = 3},
                                           {.temperature = 0, .slot = 0, .sampled_slot = 0}};
  const DeviceBuffer<int32_t> sampled = Upload(std::vector<int32_t>(4, 99));
  const DeviceBuffer<int32_t> device_logits_rows = Upload(logits_rows);
  std::vector<uint32_t> expected_counts(2 * kVocabulary);
  const DeviceBuffer<uint32_t> counts = Upload(expected_counts);
  const DeviceBuffer<float> device_logits = Upload(logits);
  const DeviceBuffer<SamplingRow> device_params = Upload(params);
  const DeviceBuffer<float> adjusted = Poisoned<float>(3 * kVocabulary);
  const DeviceBuffer<float> partials =
      Poisoned<float>(3 * SamplingBatch::PartialsPerRow(kVocabulary));
  const DeviceBuffer<int32_t> tokens = Poisoned<int32_t>(3);

  const absl::Status status = SampleCuda(stream(), {.rows = 3,
                                                    .vocabulary = kVocabulary,
                                                    .logits = device_logits.data(),
                                                    .logits_stride = 48,
                                                    .logits_rows = device_logits_rows.data(),
                                                    .params = device_params.data(),
                                                    .counts = counts.data(),
                                                    .count_sampled = true,
                                                    .adjusted = adjusted.data(),
                                                    .partials = partials.data(),
                                                    .tokens = tokens.data(),
                                                    .sampled = sampled.data()});

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Download(tokens), (std::vector<int32_t>{11, 7, -1}));
  EXPECT_EQ(Download(sampled), (std::vector<int32_t>{0, 11, 99, 7}));
  expected_counts[kVocabulary + 11] = 3;
  EXPECT_EQ(Download(counts), expected_counts);
}

TEST_F(SamplingCudaTest, CountsTokensAsTheOracle) {
  constexpr int32_t kVocabulary = 10;
  const std::vector<int32_t> slots = {0, 1, 1, -1, 0, 1};
  const std::vector<int32_t> tokens = {3, 9, 9, 2, -1, 0};
  std::vector<uint32_t> expected(2 * kVocabulary);
  const DeviceBuffer<uint32_t> counts = Upload(expected);
  const DeviceBuffer<int32_t> device_slots = Upload(slots), device_tokens = Upload(tokens);
  for (const bool output : {false, true}) {
    CountTokensReference({.count = 6,
                          .vocabulary = kVocabulary,
                          .slots = slots.data(),
                          .tokens = tokens.data(),
                          .output = output,
                          .counts = expected.data()});
    ASSERT_TRUE(CountTokensCuda(stream(), {.count = 6,
                                           .vocabulary = kVocabulary,
                                           .slots = device_slots.data(),
                                           .tokens = device_tokens.data(),
                                           .output = output,
                                           .counts = counts.data()})
                    .ok());
  }

  EXPECT_EQ(Download(counts), expected);
}

}  // namespace
}  // namespace spillway
