// The real all-MiniLM-L6-v2 against transformers, by the fixture that
// tools/make_embedding_fixtures.py wrote: our vectors of the same tokens are within 1e-4.
// tools/fetch_embedding_model brings the model; without it the test is skipped.

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/worker/model/loaded_encoder.h"

namespace spillway {
namespace {

TEST(MinilmParityTest, VectorsAreThoseOfTransformers) {
  const std::string folder = std::string(SPILLWAY_SOURCE_DIR) + "/build/models/all-MiniLM-L6-v2";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there; tools/fetch_embedding_model brings it";
  }
  std::ifstream stream(std::string(SPILLWAY_SOURCE_DIR) +
                       "/tests/worker/model/testdata/minilm_vectors.json");
  const nlohmann::json fixture = nlohmann::json::parse(stream);
  std::vector<std::vector<TokenId>> texts;
  for (const nlohmann::json& text : fixture["texts"]) {
    texts.push_back(text["tokens"].get<std::vector<TokenId>>());
  }
  LoadedEncoder encoder(folder, /*threads=*/2, SupportedCpuIsas().back(), /*texts_max=*/16);
  EXPECT_EQ(encoder.spec().text_tokens_max, 256);

  const auto vectors = encoder.Encode(texts);

  double worst = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto expected = fixture["texts"][i]["vector"].get<std::vector<double>>();
    ASSERT_EQ(vectors[i].size(), expected.size());
    for (size_t d = 0; d < expected.size(); ++d) {
      worst = std::max(worst, std::fabs(vectors[i][d] - expected[d]));
    }
  }
  std::printf("largest difference over %zu texts: %.2g\n", texts.size(), worst);
  EXPECT_LT(worst, 1e-5);
}

}  // namespace
}  // namespace spillway
