// Texts that make a tokenizer slow where it isn't linear: each of 100 KB, through small tokenizers
// of every family. In the square of the length they'd not end within the test's time limit.
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/tokenizer.h"
#include "worker/text/tokenizer_json.h"

namespace spillway {
namespace {

constexpr size_t kTextBytes = 100'000;

std::string Repeat(std::string_view part) {
  std::string text;
  while (text.size() < kTextBytes) text += part;
  return text;
}

std::vector<std::string> LongTexts() {
  std::mt19937 random(1);
  std::string letters;
  while (letters.size() < kTextBytes) letters += static_cast<char>('a' + random() % 26);
  std::string bytes;
  while (bytes.size() < kTextBytes) bytes += static_cast<char>(random());
  return {Repeat("a"),
          letters,
          bytes,
          Repeat(" ") + "x",
          Repeat("e\u0301\u0323"),
          Repeat("\u0301\u0323"),
          Repeat("7"),
          Repeat("<|im_start|"),
          Repeat("\u4e2d")};
}

TEST(TokenizerLongTextTest, TimeIsInTheLengthOfTheText) {
  const std::vector<std::string> texts = LongTexts();
  const std::filesystem::path folder(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/tokenizers");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    auto spec = TokenizerSpecFromTokenizerJson(nlohmann::json::parse(file)["tokenizer"].dump());
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto tokenizer = Tokenizer::Create(*std::move(spec));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (const std::string& text : texts) {
      const TextRange whole{0, text.size()};
      const std::vector<TokenId> ids = (*tokenizer)->Encode(text, {&whole, 1});
      EXPECT_LE(ids.size(), 2 * text.size());
      (*tokenizer)->Decode(ids, /*skip_control=*/false);
    }
  }
}

}  // namespace
}  // namespace spillway
