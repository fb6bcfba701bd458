// The default model's tokenizer against llama.cpp's. The fixture is made by
// tools/make_logits_fixture.sh. Needs the model file; skips without it.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/model/gguf_tokenizer.h"
#include "worker/text/tokenizer.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

std::string ModelPath() {
  if (const char* const path = std::getenv("SPILLWAY_TEST_MODEL")) return path;
  return SPILLWAY_SOURCE_DIR "/build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

TEST(TokenizerParityTest, PromptsHaveLlamaCppsIds) {
  const std::string path = ModelPath();
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "no model at " << path << "; set SPILLWAY_TEST_MODEL to run this";
  }
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto spec = TokenizerSpecFromGguf(**file);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->end_of_text, ElementsAre(0, 2)) << "<|endoftext|> and <|im_end|>";
  const auto tokenizer = Tokenizer::Create(*spec);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::ifstream stream(SPILLWAY_SOURCE_DIR "/tests/worker/model/testdata/smollm2_llama_cpp.json");
  const nlohmann::json fixture = nlohmann::json::parse(stream);
  ASSERT_EQ(fixture["prompts"].size(), 10u);
  for (const nlohmann::json& prompt : fixture["prompts"]) {
    const std::string text = prompt["text"];
    const TextRange whole{0, text.size()};

    EXPECT_EQ((*tokenizer)->Encode(text, {&whole, 1}),
              prompt["prompt_ids"].get<std::vector<TokenId>>())
        << prompt["name"];
  }
}

}  // namespace
}  // namespace spillway
