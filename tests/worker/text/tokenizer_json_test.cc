#include "worker/text/tokenizer_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = TokenizerSpec::Kind;
using TokenType = TokenizerSpec::TokenType;

// A file as small as can be; a test changes what it is about.
json Bpe() {
  return {{"version", "1.0"},
          {"added_tokens", json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model",
           {{"type", "BPE"},
            {"vocab", {{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}}},
            {"merges", {"a b"}}}}};
}

json Added(int id, const std::string& content, bool special) {
  return {{"id", id}, {"content", content}, {"special", special}, {"normalized", false}};
}

TokenizerSpec Spec(const json& file, const json& config = nullptr) {
  const auto spec =
      TokenizerSpecFromTokenizerJson(file.dump(), config.is_null() ? "" : config.dump());
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *spec : TokenizerSpec();
}

absl::Status StatusOf(const json& file, const json& config = nullptr) {
  return TokenizerSpecFromTokenizerJson(file.dump(), config.is_null() ? "" : config.dump())
      .status();
}

TEST(TokenizerJsonTest, ReadsAByteLevelVocabulary) {
  json file = Bpe();
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};

  const TokenizerSpec spec = Spec(file);

  EXPECT_EQ(spec.kind, Kind::kByteLevelBpe);
  EXPECT_THAT(spec.tokens, ElementsAre("<unk>", "a", "b", "ab"));
  EXPECT_THAT(spec.types, ::testing::Each(TokenType::kNormal));
  EXPECT_THAT(spec.merges, ElementsAre(MergeRule{1, 2, 3}));
  ASSERT_EQ(spec.pre_tokenizers.size(), 1u);
  EXPECT_FALSE(spec.pre_tokenizers[0].add_prefix_space);
  EXPECT_TRUE(spec.pre_tokenizers[0].use_regex);
}

TEST(TokenizerJsonTest, MergesArePairsOrLines) {
  json file = Bpe();
  file["model"]["vocab"] = {{"a", 0}, {" ", 1}, {"a ", 2}, {"a a", 3}};
  file["model"]["merges"] = json::parse(R"([["a", " "], ["a ", "a"]])");
  EXPECT_THAT(Spec(file).merges, ElementsAre(MergeRule{0, 1, 2}, MergeRule{2, 0, 3}));

  file["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"ab", 2}};
  file["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_THAT(Spec(file).merges, ElementsAre(MergeRule{0, 1, 2}));
}

TEST(TokenizerJsonTest, MergesLeaveTheContinuingPrefixOut) {
  json file = Bpe();
  file["model"]["continuing_subword_prefix"] = "##";
  file["model"]["vocab"] = {{"a", 0}, {"##b", 1}, {"ab", 2}};
  file["model"]["merges"] = {"a ##b"};

  EXPECT_THAT(Spec(file).merges, ElementsAre(MergeRule{0, 1, 2}));
}

TEST(TokenizerJsonTest, ReadsASentencePieceVocabularyThatWasConverted) {
  json file = Bpe();
  file["model"]["vocab"] = {{"<unk>", 0}, {"<0x0A>", 1}, {"\u2581", 2}};
  file["model"]["merges"] = json::array();
  file["model"]["unk_token"] = "<unk>";
  file["model"]["fuse_unk"] = true;
  file["model"]["byte_fallback"] = true;
  file["normalizer"] = json::parse(R"({"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "_"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]})");
  file["decoder"] = json::parse(R"({"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"Regex": "_"}, "content": " "},
      {"type": "ByteFallback"}, {"type": "Fuse"},
      {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");

  const TokenizerSpec spec = Spec(file);

  EXPECT_EQ(spec.kind, Kind::kBpe);
  EXPECT_EQ(spec.unknown, 0);
  EXPECT_TRUE(spec.fuse_unknown);
  EXPECT_TRUE(spec.byte_fallback);
  EXPECT_THAT(spec.types, ElementsAre(TokenType::kNormal, TokenType::kByte, TokenType::kNormal));
  ASSERT_EQ(spec.normalizers.size(), 2u);
  EXPECT_EQ(spec.normalizers[0].text, "_");
  EXPECT_EQ(spec.normalizers[1].pattern.text, " ");
  EXPECT_FALSE(spec.normalizers[1].pattern.is_regex);
  ASSERT_EQ(spec.decoders.size(), 4u);
  EXPECT_TRUE(spec.decoders[0].pattern.is_regex);
  EXPECT_EQ(spec.decoders[3].start, 1u);
}

TEST(TokenizerJsonTest, ReadsUnigramAndWordPiece) {
  json file = Bpe();
  file["model"] = json::parse(
      R"({"type": "Unigram", "unk_id": 1, "vocab": [["<s>", 0.0], ["<unk>", 0], ["a", -1.5]]})");
  const TokenizerSpec unigram = Spec(file);
  EXPECT_EQ(unigram.kind, Kind::kUnigram);
  EXPECT_THAT(unigram.tokens, ElementsAre("<s>", "<unk>", "a"));
  EXPECT_THAT(unigram.scores, ElementsAre(0, 0, -1.5));
  EXPECT_EQ(unigram.unknown, 1);

  file["model"] = {{"type", "WordPiece"},
                   {"unk_token", "[UNK]"},
                   {"continuing_subword_prefix", "@"},
                   {"max_input_chars_per_word", 7},
                   {"vocab", {{"[UNK]", 0}, {"a", 1}}}};
  const TokenizerSpec word_piece = Spec(file);
  EXPECT_EQ(word_piece.kind, Kind::kWordPiece);
  EXPECT_EQ(word_piece.continuing_prefix, "@");
  EXPECT_EQ(word_piece.word_characters_max, 7u);
  EXPECT_EQ(word_piece.unknown, 0);
}

TEST(TokenizerJsonTest, OldFilesHaveNoModelType) {
  json file = Bpe();
  file["model"].erase("type");

  EXPECT_EQ(Spec(file).kind, Kind::kBpe);
}

TEST(TokenizerJsonTest, AddedTokensKeepTheirIdOrFollowTheVocabulary) {
  json file = Bpe();
  file["added_tokens"] = {Added(0, "<unk>", true), Added(77, "<x>", false), Added(78, "<y>", true)};
  file["added_tokens"][1]["lstrip"] = true;

  const TokenizerSpec spec = Spec(file);

  EXPECT_THAT(spec.tokens, ElementsAre("<unk>", "a", "b", "ab", "<x>", "<y>"));
  EXPECT_EQ(spec.types[0], TokenType::kControl);
  EXPECT_EQ(spec.types[4], TokenType::kUserDefined);
  EXPECT_EQ(spec.types[5], TokenType::kControl);
  ASSERT_EQ(spec.added.size(), 3u);
  EXPECT_TRUE(spec.added[1].lstrip);
  EXPECT_EQ(spec.added[1].id, 4);
}

TEST(TokenizerJsonTest, IdsWithoutATokenAreUnused) {
  json file = Bpe();
  file["model"]["vocab"] = {{"a", 1}, {"b", 3}};
  file["model"]["merges"] = json::array();

  const TokenizerSpec spec = Spec(file);

  EXPECT_THAT(spec.tokens, ElementsAre("", "a", "", "b"));
  EXPECT_EQ(spec.types[2], TokenType::kUnused);
}

json Template(std::vector<int> ids_of_bos) {
  return {{"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", "bos"}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
            {{"SpecialToken", {{"id", "eos"}, {"type_id", 0}}}}}},
          {"special_tokens", {{"bos", {{"ids", ids_of_bos}}}, {"eos", {{"ids", {2}}}}}}};
}

TEST(TokenizerJsonTest, PostProcessorsSayWhatIsAdded) {
  json file = Bpe();
  file["post_processor"] = Template({0, 1});
  const TokenizerSpec spec = Spec(file);
  EXPECT_THAT(spec.prefix, ElementsAre(0, 1));
  EXPECT_THAT(spec.suffix, ElementsAre(2));
  EXPECT_EQ(spec.bos, 0);
  EXPECT_TRUE(spec.add_bos);
  EXPECT_EQ(spec.types[2], TokenType::kControl);

  for (const char* type : {"BertProcessing", "RobertaProcessing"}) {
    file["post_processor"] = {{"type", type}, {"cls", {"a", 1}}, {"sep", {"b", 2}}};
    EXPECT_THAT(Spec(file).prefix, ElementsAre(1));
    EXPECT_THAT(Spec(file).suffix, ElementsAre(2));
  }

  file["post_processor"] = {{"type", "Sequence"},
                            {"processors", {{{"type", "ByteLevel"}}, Template({0})}}};
  EXPECT_THAT(Spec(file).prefix, ElementsAre(0));
}

TEST(TokenizerJsonTest, TheConfigsTokensAreAddedOnTop) {
  const json config = {
      {"bos_token", "<s>"},
      {"eos_token", {{"content", "</s>"}, {"lstrip", true}}},
      {"added_tokens_decoder", {{"9", Added(9, "b", true)}, {"10", Added(10, "<z>", false)}}}};

  const TokenizerSpec spec = Spec(Bpe(), config);

  EXPECT_THAT(spec.tokens, ElementsAre("<unk>", "a", "b", "ab", "<z>", "<s>", "</s>"));
  EXPECT_EQ(spec.types[2], TokenType::kControl);
  EXPECT_EQ(spec.types[4], TokenType::kUserDefined);
  EXPECT_EQ(spec.bos, 5);
  EXPECT_EQ(spec.eos, 6);
  EXPECT_THAT(spec.end_of_text, ElementsAre(6));
  EXPECT_FALSE(spec.add_bos);
}

TEST(TokenizerJsonTest, TheConfigSaysWhetherBosIsAdded) {
  json file = Bpe();
  file["post_processor"] = Template({0});
  json config = {
      {"tokenizer_class", "LlamaTokenizerFast"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}};
  EXPECT_THAT(Spec(file, config).prefix, ElementsAre(4)) << "the class adds it";
  EXPECT_THAT(Spec(file, config).suffix, IsEmpty());

  config["add_bos_token"] = false;
  config["add_eos_token"] = true;
  EXPECT_THAT(Spec(file, config).prefix, IsEmpty());
  EXPECT_THAT(Spec(file, config).suffix, ElementsAre(5));

  config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"bos_token", "<s>"}};
  EXPECT_THAT(Spec(file, config).prefix, ElementsAre(0)) << "the file's template stands";
}

struct BadFile {
  const char* message;
  std::function<void(json&)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;

const BadFile kBadFiles[] = {
    {"tokenizer.json has no model", [](json& f) { f.erase("model"); }},
    {"model has the type \"WordLevel\", which is not supported; supported are BPE, Unigram",
     [](json& f) { f["model"]["type"] = "WordLevel"; }, kUnimplemented},
    {"model.type is no string", [](json& f) { f["model"]["type"] = 3; }},
    {"model has no vocab", [](json& f) { f["model"].erase("vocab"); }},
    {"model.vocab is no object", [](json& f) { f["model"]["vocab"] = json::array(); }},
    {"model.vocab is no integer", [](json& f) { f["model"]["vocab"]["a"] = "1"; }},
    {"model.vocab is -1, beyond 0 to 1048575", [](json& f) { f["model"]["vocab"]["a"] = -1; }},
    {"model.vocab is 1048576,", [](json& f) { f["model"]["vocab"]["a"] = 1 << 20; }},
    {"gives the id 2 to", [](json& f) { f["model"]["vocab"]["c"] = 2; }},
    {"a token of 8193 bytes", [](json& f) { f["model"]["vocab"][std::string(8193, 'x')] = 9; }},
    {"model has no merges", [](json& f) { f["model"].erase("merges"); }},
    {"\"ab\", which is not two tokens", [](json& f) { f["model"]["merges"] = {"ab"}; }},
    {"\"a b c\", which is not two", [](json& f) { f["model"]["merges"] = {"a b c"}; }},
    {"\"ba\" is no token", [](json& f) { f["model"]["merges"] = {"b a"}; }},
    {"more than two tokens",
     [](json& f) { f["model"]["merges"] = json::parse(R"([["a", "b", "c"]])"); }},
    {"not two tokens", [](json& f) { f["model"]["merges"] = json::parse(R"([["a"]])"); }},
    {"lacks the prefix \"###\"", [](json& f) { f["model"]["continuing_subword_prefix"] = "###"; }},
    {"dropout is not 0", [](json& f) { f["model"]["dropout"] = 0.1; }, kUnimplemented},
    {"normalizer has the type \"Foo\", which is not supported; supported are NFC, NFD",
     [](json& f) { f["normalizer"] = {{"type", "Foo"}}; }, kUnimplemented},
    {"pre_tokenizer has the type \"UnicodeScripts\", which is not supported; supported are ByteL",
     [](json& f) { f["pre_tokenizer"] = {{"type", "UnicodeScripts"}}; }, kUnimplemented},
    {"decoder has the type \"Foo\"", [](json& f) { f["decoder"] = {{"type", "Foo"}}; },
     kUnimplemented},
    {"post_processor has the type \"Foo\"",
     [](json& f) { f["post_processor"] = {{"type", "Foo"}}; }, kUnimplemented},
    {"pre_tokenizer.pattern has neither String nor Regex",
     [](json& f) { f["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Glob", "*"}}}}; }},
    {"has the behavior \"Gone\"",
     [](json& f) {
       f["pre_tokenizer"] = {
           {"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Gone"}};
     },
     kUnimplemented},
    {"has the prepend_scheme \"often\"",
     [](json& f) {
       f["pre_tokenizer"] = {
           {"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "often"}};
     },
     kUnimplemented},
    {"one character as replacement",
     [](json& f) { f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "__"}}; }},
    {"is no base64",
     [](json& f) { f["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "!"}}; }},
    {"prepend has 4097 bytes, beyond the limit of 4096",
     [](json& f) { f["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(4097, 'x')}}; }},
    {"is one step too many",
     [](json& f) {
       f["normalizer"] = {{"type", "NFC"}};
       for (int level = 0; level < 2; ++level) {
         f["normalizer"] = {{"type", "Sequence"},
                            {"normalizers", std::vector<json>(9, f["normalizer"])}};
       }
     }},
    {"is nested too deep",
     [](json& f) {
       f["normalizer"] = {{"type", "NFC"}};
       for (int level = 0; level < 9; ++level) {
         f["normalizer"] = {{"type", "Sequence"}, {"normalizers", {f["normalizer"]}}};
       }
     }},
    {"added_tokens has no content", [](json& f) { f["added_tokens"] = {{{"id", 1}}}; }},
    {"content has 1025 bytes",
     [](json& f) { f["added_tokens"] = {Added(4, std::string(1025, 'x'), true)}; }},
    {"\"<x>\" would have the id 4, which is that of \"ab\"",
     [](json& f) {
       f["model"]["vocab"] = {{"a", 1}, {"b", 2}, {"ab", 4}, {"c", 3}};
       f["added_tokens"] = {Added(9, "<x>", true)};
     }},
    {"has 4, which is no token", [](json& f) { f["post_processor"] = Template({4}); }},
    {"special_tokens has no bos",
     [](json& f) {
       f["post_processor"] = Template({1});
       f["post_processor"]["special_tokens"].erase("bos");
     }},
    {"leaves the text out",
     [](json& f) {
       f["post_processor"] = Template({1});
       f["post_processor"]["single"].erase(1);
     }},
};

TEST(TokenizerJsonTest, RefusesAndNamesThePlace) {
  for (const BadFile& bad : kBadFiles) {
    json file = Bpe();
    bad.spoil(file);

    const absl::Status status = StatusOf(file);

    EXPECT_EQ(status.code(), bad.code) << bad.message << ": " << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("tokenizer.json"), HasSubstr(bad.message)));
  }
}

TEST(TokenizerJsonTest, RefusesABadConfig) {
  EXPECT_THAT(std::string(StatusOf(Bpe(), {{"add_bos_token", true}}).message()),
              HasSubstr("no bos_token that is a token"));
  EXPECT_THAT(std::string(StatusOf(Bpe(), {{"eos_token", 7}}).message()),
              HasSubstr("tokenizer_config.json: eos_token is no string"));
  EXPECT_THAT(
      std::string(
          StatusOf(Bpe(), {{"added_tokens_decoder", {{"x", Added(0, "y", true)}}}}).message()),
      HasSubstr("a key that is no id"));
  EXPECT_THAT(std::string(TokenizerSpecFromTokenizerJson(Bpe().dump(), "{").status().message()),
              HasSubstr("tokenizer_config.json: no JSON"));
}

TEST(TokenizerJsonTest, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,", "{\"a\":\xFF}", "nul"}) {
    const absl::Status status = TokenizerSpecFromTokenizerJson(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(TokenizerSpecFromTokenizerJson(std::string_view()).status().code(),
            absl::StatusCode::kInvalidArgument);
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(TokenizerSpecFromTokenizerJson(deep).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace spillway
