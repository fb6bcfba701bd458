// Tokenizers against what Hugging Face's `tokenizers` makes of them: small ones of every family
// (testdata/tokenizers/, written by tools/make_tokenizer_fixtures.py), and published ones, which
// tools/fetch_tokenizers puts into build/tokenizers. The latter are skipped where they are missing;
// SPILLWAY_TEST_TOKENIZERS names another folder of NAME/tokenizer.json and NAME/cases.json.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/text/tokenizer.h"
#include "worker/text/tokenizer_json.h"

namespace spillway {
namespace {

using nlohmann::json;

constexpr int kShownMax = 5;  // mismatches of a tokenizer that are printed whole

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::unique_ptr<Tokenizer> Make(const std::string& tokenizer_json) {
  auto spec = TokenizerSpecFromTokenizerJson(tokenizer_json);
  EXPECT_TRUE(spec.ok()) << spec.status();
  if (!spec.ok()) return nullptr;
  auto tokenizer = Tokenizer::Create(*std::move(spec));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

class Comparison {
 public:
  template <typename T>
  void Compare(const char* what, const std::string& text, const T& actual, const T& expected) {
    ++compared_;
    if (actual == expected || ++different_ > kShownMax) return;
    constexpr auto kReplace = json::error_handler_t::replace;
    ADD_FAILURE() << what << " of " << json(text).dump() << "\nis       "
                  << json(actual).dump(-1, ' ', false, kReplace) << "\nshould be "
                  << json(expected).dump();
  }

  int compared() const { return compared_; }
  int different() const { return different_; }

 private:
  int compared_ = 0;
  int different_ = 0;
};

// A case: text, ids, ids of a text that nobody trusts, decoded, decoded without control tokens.
// Null: as the one before, and for `decoded` the text.
Comparison CompareAll(const Tokenizer& tokenizer, const json& cases) {
  Comparison comparison;
  for (const json& entry : cases) {
    const std::string text = entry[0];
    const std::vector<TokenId> ids = entry[1];
    const std::vector<TokenId> untrusted = entry[2].is_null() ? entry[1] : entry[2];
    const std::string decoded = entry[3].is_null() ? text : entry[3].get<std::string>();
    const std::string shown = entry[4].is_null() ? decoded : entry[4].get<std::string>();
    const TextRange whole{0, text.size()};
    comparison.Compare("Encode, trusted,", text, tokenizer.Encode(text, {&whole, 1}), ids);
    comparison.Compare("Encode", text, tokenizer.Encode(text), untrusted);
    comparison.Compare("Decode", text, tokenizer.Decode(ids, /*skip_control=*/false), decoded);
    comparison.Compare("Decode, skipping,", text, tokenizer.Decode(ids, /*skip_control=*/true),
                       shown);
  }
  return comparison;
}

TEST(TokenizerIdentityTest, SmallTokenizersOfEveryFamilyGiveWhatHuggingFaceGives) {
  const std::filesystem::path folder(SPILLWAY_SOURCE_DIR "/tests/worker/text/testdata/tokenizers");
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().stem().string());
    const json fixture = json::parse(ReadFile(entry.path()));
    const auto tokenizer = Make(fixture["tokenizer"].dump());
    ASSERT_NE(tokenizer, nullptr);

    const Comparison comparison = CompareAll(*tokenizer, fixture["cases"]);

    EXPECT_EQ(comparison.different(), 0) << "of " << comparison.compared();
    EXPECT_GT(comparison.compared(), 400);
    ++count;
  }
  EXPECT_EQ(count, 15);
}

std::filesystem::path PublishedFolder() {
  if (const char* const folder = std::getenv("SPILLWAY_TEST_TOKENIZERS")) return folder;
  return SPILLWAY_SOURCE_DIR "/build/tokenizers";
}

TEST(TokenizerIdentityTest, PublishedTokenizersGiveWhatHuggingFaceGives) {
  std::set<std::filesystem::path> folders;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(PublishedFolder(), error)) {
    if (std::filesystem::exists(entry.path() / "cases.json")) folders.insert(entry.path());
  }
  if (folders.empty()) {
    GTEST_SKIP() << "no tokenizers in " << PublishedFolder()
                 << "; tools/fetch_tokenizers puts them "
                    "there, with npm";
  }
  for (const std::filesystem::path& folder : folders) {
    SCOPED_TRACE(folder.filename().string());
    const auto tokenizer = Make(ReadFile(folder / "tokenizer.json"));
    ASSERT_NE(tokenizer, nullptr);

    const Comparison comparison =
        CompareAll(*tokenizer, json::parse(ReadFile(folder / "cases.json"))["cases"]);

    EXPECT_EQ(comparison.different(), 0) << "of " << comparison.compared();
    EXPECT_GT(comparison.compared(), 1'500);
  }
}

}  // namespace
}  // namespace spillway
