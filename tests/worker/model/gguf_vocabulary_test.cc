// llama.cpp's vocabularies (models/ggml-vocab-*.gguf in its source) against the ids that it keeps
// beside them. Runs over the folder SPILLWAY_TEST_GGUF_VOCABULARIES; skips without it.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/model/gguf_tokenizer.h"
#include "worker/text/tokenizer.h"
#include "worker/text/tokenizer_family.h"
#include "worker/text/unicode_normalization.h"

namespace spillway {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> Split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

std::vector<TokenId> Ids(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<TokenId>(stream), std::istream_iterator<TokenId>()};
}

// llama.cpp normalizes no text for merges; the models that have NFC were trained with it.
bool HasNfc(TokenizerSpec spec) {
  if (spec.pre_tokenizer.empty() || !ApplyTokenizerFamily(spec).ok()) return false;
  const auto is_nfc = [](const NormalizerStep& step) {
    return step.kind == NormalizerStep::Kind::kNfc;
  };
  return std::any_of(spec.normalizers.begin(), spec.normalizers.end(), is_nfc);
}

TEST(GgufVocabularyTest, LlamaCppsVocabulariesGiveItsIds) {
  const char* const folder = std::getenv("SPILLWAY_TEST_GGUF_VOCABULARIES");
  if (folder == nullptr) {
    GTEST_SKIP() << "SPILLWAY_TEST_GGUF_VOCABULARIES is not set: the folder models/ of llama.cpp's "
                    "source";
  }
  const UnicodeNormalization nfc(UnicodeNormalization::Form::kNfc);
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path();
    if (!path.ends_with(".gguf") || !std::filesystem::exists(path + ".inp")) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto spec = TokenizerSpecFromGguf(**file);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto tokenizer = Tokenizer::Create(*spec);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const std::vector<std::string> texts =
        Split(ReadFile(path + ".inp"), "\n__ggml_vocab_test__\n");
    const std::vector<std::string> lines = Split(ReadFile(path + ".out"), "\n");
    ASSERT_GE(lines.size(), texts.size());
    int different = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (HasNfc(*spec) && nfc.Normalize(texts[i]) != texts[i]) continue;
      const std::vector<TokenId> ids = (*tokenizer)->Encode(texts[i]);
      EXPECT_EQ(ids, Ids(lines[i])) << testing::PrintToString(texts[i]);
      different += ids == Ids(lines[i]) ? 0 : 1;
    }
    std::cout << entry.path().filename().string() << ": " << different << " of " << texts.size()
              << " differ\n";
    ++count;
  }
  EXPECT_GT(count, 0) << "no vocabulary in " << folder << " has its .inp and .out";
}

}  // namespace
}  // namespace spillway
