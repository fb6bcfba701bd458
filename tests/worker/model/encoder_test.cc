// The encoder against transformers, on tiny random models (tools/make_embedding_fixtures.py).

#include "worker/model/encoder.h"

#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/worker/model/loaded_encoder.h"

namespace spillway {
namespace {

std::string Path(const std::string& name) {
  return std::string(SPILLWAY_SOURCE_DIR) + "/tests/worker/model/testdata/tiny_bert/" + name;
}

struct Expected {
  std::vector<std::vector<TokenId>> texts;
  std::vector<std::vector<float>> vectors;
};
Expected ReadExpected(const std::string& name) {
  std::ifstream stream(Path(name.substr(0, name.find('/'))) + "/expected.json");
  Expected expected;
  const nlohmann::json file = nlohmann::json::parse(stream);
  for (const nlohmann::json& text : file["texts"]) {
    expected.texts.push_back(text["tokens"].get<std::vector<TokenId>>());
    expected.vectors.push_back(text["vector"].get<std::vector<float>>());
  }
  return expected;
}

class EncoderTest : public ::testing::TestWithParam<std::string> {};

TEST_P(EncoderTest, VectorsAreThoseOfTransformers) {
  const Expected expected = ReadExpected(GetParam());
  for (const CpuIsa isa : {CpuIsa::kScalar, SupportedCpuIsas().back()}) {
    LoadedEncoder encoder(Path(GetParam()), /*threads=*/2, isa);

    const auto vectors = encoder.Encode(expected.texts);

    ASSERT_EQ(vectors.size(), expected.vectors.size());
    for (size_t i = 0; i < vectors.size(); ++i) {
      ASSERT_EQ(vectors[i].size(), expected.vectors[i].size());
      for (size_t d = 0; d < vectors[i].size(); ++d) {
        ASSERT_NEAR(vectors[i][d], expected.vectors[i][d], 2e-5f) << "text " << i << ", " << d;
      }
    }
  }
}

TEST_P(EncoderTest, TextsDoNotDependOnOthersNorOnThreads) {
  const Expected expected = ReadExpected(GetParam());
  LoadedEncoder alone(Path(GetParam()), /*threads=*/1, CpuIsa::kScalar);
  LoadedEncoder many(Path(GetParam()), /*threads=*/3, SupportedCpuIsas().back());
  std::vector<std::vector<TokenId>> reversed(expected.texts.rbegin(), expected.texts.rend());

  auto together = many.Encode(reversed);
  std::reverse(together.begin(), together.end());

  for (size_t i = 0; i < expected.texts.size(); ++i) {
    EXPECT_EQ(alone.Encode({expected.texts[i]})[0], together[i]) << "text " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(TinyBert, EncoderTest, ::testing::Values("mean", "cls", "mean/model.gguf"),
                         [](const auto& test_info) {
                           return test_info.param.ends_with(".gguf") ? "gguf" : test_info.param;
                         });

}  // namespace
}  // namespace spillway
