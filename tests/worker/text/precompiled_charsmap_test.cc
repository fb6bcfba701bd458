#include "worker/text/precompiled_charsmap.h"

#include <fstream>
#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

// Of tools/make_sentencepiece_fixtures.py.
std::string FixtureBytes() {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/tokenizers/xlm_roberta.json");
  const nlohmann::json fixture = nlohmann::json::parse(file);
  std::string bytes;
  EXPECT_TRUE(absl::Base64Unescape(
      fixture["tokenizer"]["normalizer"]["normalizers"][0]["precompiled_charsmap"]
          .get<std::string>(),
      &bytes));
  return bytes;
}

TEST(PrecompiledCharsmapTest, FindsTheShortestAndTheLongestEntry) {
  const auto map = PrecompiledCharsmap::Parse(FixtureBytes());
  ASSERT_TRUE(map.ok()) << map.status();

  EXPECT_EQ(map->Longest("\uff76\uff9ex")->size, 6u);
  EXPECT_EQ(map->Longest("\uff76\uff9ex")->replacement, "\u30ac");
  EXPECT_EQ(map->Shortest("\uff76\uff9ex")->replacement, "\u30ab");
  EXPECT_EQ(map->Longest("\u200bx")->replacement, "") << "dropped";
  EXPECT_FALSE(map->Longest("x").has_value());
  EXPECT_FALSE(map->Longest("").has_value());
}

TEST(PrecompiledCharsmapTest, SizesThatDoNotFitAreRefused) {
  const auto message = [](std::string bytes) {
    return std::string(PrecompiledCharsmap::Parse(bytes).status().message());
  };
  using namespace std::string_literals;

  EXPECT_THAT(message("abc"), HasSubstr("has no size"));
  EXPECT_THAT(message("\0\0\0\0"s), HasSubstr("gives 0 bytes to its trie"));
  EXPECT_THAT(message("\5\0\0\0abcde"s), HasSubstr("gives 5 bytes"));
  EXPECT_THAT(message("\xFC\xFF\xFF\xFF"
                      "abcd"s),
              HasSubstr("4294967292 bytes to its trie, but has 4"));
  EXPECT_THAT(message("\4\0\0\0abcd\xFF"s), HasSubstr("no UTF-8"));
}

// The trie's indices lie: nothing is read beyond it, and what comes out is UTF-8.
TEST(PrecompiledCharsmapTest, ABrokenTrieFindsNothingBad) {
  const std::string sound = FixtureBytes();
  int found = 0;
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    std::string bytes = sound;
    for (int i = 0; i < 40; ++i)
      bytes[4 + random() % (bytes.size() - 4)] = static_cast<char>(random());
    const auto map = PrecompiledCharsmap::Parse(bytes);
    if (!map.ok()) continue;
    for (int i = 0; i < 50; ++i) {
      std::string text;
      while (text.size() < 6) text += static_cast<char>(random());
      for (const auto& match : {map->Longest(text), map->Shortest("\xEF\xBD\xB6" + text)}) {
        if (!match) continue;
        EXPECT_TRUE(IsUtf8(match->replacement));
        EXPECT_LE(match->size, 9u);
        ++found;
      }
    }
  }
  EXPECT_GT(found, 100);
}

}  // namespace
}  // namespace spillway
