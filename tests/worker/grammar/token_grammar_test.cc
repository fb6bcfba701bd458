#include "worker/grammar/token_grammar.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/grammar/grammar_walk.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class TokenGrammarTest : public ::testing::Test {
 protected:
  std::shared_ptr<const TokenGrammar> Compiled(const GrammarSource& source) {
    auto compiled = compiler_.Compile(source);
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    return compiled.ok() ? *compiled : nullptr;
  }
  std::string Refusal(const GrammarSource& source) {
    return std::string(compiler_.Compile(source).status().message());
  }
  // Of ten random texts of a schema.
  void ExpectOfAll(const std::string& schema, const std::function<bool(const json&)>& holds) {
    const auto grammar = Compiled({.kind = GrammarSource::Kind::kJsonSchema, .text = schema});
    ASSERT_NE(grammar, nullptr) << schema;
    for (uint64_t seed = 0; seed < 10; ++seed) {
      const std::string text = WalkAtRandom(grammar, seed);
      const json value = json::parse(text, nullptr, false);
      EXPECT_FALSE(value.is_discarded()) << text;
      EXPECT_TRUE(holds(value)) << schema << " gave " << text;
    }
  }

  std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  GrammarCompiler compiler_{*tokenizer_};
};

TEST_F(TokenGrammarTest, RandomTextsFitTheirSchema) {
  ExpectOfAll(R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"}},)"
              R"("required":["a"]})",
              [](const json& value) {
                return value.is_object() && value.at("a").is_number_integer() &&
                       value.size() == 1 + value.count("b");
              });
  ExpectOfAll(R"({"enum":["x",3,null,{"y":[1]}]})", [](const json& value) {
    return value == "x" || value == 3 || value.is_null() || value == json::parse(R"({"y":[1]})");
  });
  ExpectOfAll(R"({"type":"integer","minimum":-5,"exclusiveMaximum":12})", [](const json& value) {
    return value.is_number_integer() && value >= -5 && value < 12;
  });
  ExpectOfAll(R"({"type":"array","items":{"type":"number","minimum":-9,"maximum":9},)"
              R"("minItems":2,"maxItems":3})",
              [](const json& value) {
                return value.is_array() && value.size() >= 2 && value.size() <= 3 &&
                       value[0].is_number() && value[0] >= -9 && value[1] <= 9;
              });
  ExpectOfAll(R"({"type":"string","minLength":2,"maxLength":4})", [](const json& value) {
    size_t characters = 0;
    for (const char byte : value.get<std::string>()) characters += (byte & 0xc0) != 0x80;
    return characters >= 2 && characters <= 4;
  });
  ExpectOfAll(R"({"type":"string","minLength":3})",
              [](const json& value) { return value.is_string(); });
  // A pattern is of the string, not of its spelling.
  for (const char* pattern : {"^.{1,5}$", "^[^a]{1,5}$", "^\\\\S{1,9}$", "^\\\\W{2}$"}) {
    ExpectOfAll(std::string(R"({"type":"string","pattern":")") + pattern + "\"}",
                [](const json& value) { return value.is_string(); });
  }
  ExpectOfAll(R"({"type":"string","pattern":"^[a-c]{2}-[0-9]+$"})", [](const json& value) {
    return std::regex_match(value.get<std::string>(), std::regex("[a-c]{2}-[0-9]+"));
  });
  ExpectOfAll(R"({"type":"string","format":"date"})", [](const json& value) {
    return std::regex_match(value.get<std::string>(), std::regex("\\d{4}-\\d{2}-\\d{2}"));
  });
  ExpectOfAll(R"({"oneOf":[{"type":"null"},{"type":"object","properties":{"k":{"const":1}},)"
              R"("required":["k"]}]})",
              [](const json& value) { return value.is_null() || value.at("k") == 1; });
  ExpectOfAll(R"({"type":["string","null"]})",
              [](const json& value) { return value.is_string() || value.is_null(); });
  ExpectOfAll(R"({"type":"object"})", [](const json& value) { return value.is_object(); });
}

TEST_F(TokenGrammarTest, SchemasMayReferToThemselves) {
  ExpectOfAll(R"({"type":"object","properties":{"next":{"anyOf":[{"type":"null"},{"$ref":"#"}]},)"
              R"("leaf":{"$ref":"#/$defs/leaf"}},"required":["next","leaf"],)"
              R"("$defs":{"leaf":{"type":"array","maxItems":1,"items":{"$ref":"#/$defs/leaf"}}}})",
              [](const json& value) {
                return value.at("leaf").is_array() &&
                       (value.at("next").is_null() || value.at("next").at("leaf").is_array());
              });
}

TEST_F(TokenGrammarTest, MembersComeInTheSchemasOrder) {
  const auto grammar = Compiled({.kind = GrammarSource::Kind::kJsonSchema,
                                 .text = R"({"type":"object","required":["z","a"],"properties":)"
                                         R"({"z":{"const":1},"a":{"const":2}}})"});
  const std::string text = WalkAtRandom(grammar, 1);
  EXPECT_LT(text.find("\"z\""), text.find("\"a\""));
}

TEST_F(TokenGrammarTest, OtherKinds) {
  const auto object = Compiled({.kind = GrammarSource::Kind::kJsonObject});
  const auto regex = Compiled({.kind = GrammarSource::Kind::kRegex, .text = "[0-9]{3}(-x)?"});
  const auto choice =
      Compiled({.kind = GrammarSource::Kind::kChoice, .choices = {"yes", "n\"o\\\n", "\xC3\xBC"}});
  const auto ebnf = Compiled(
      {.kind = GrammarSource::Kind::kGrammar, .text = "root ::= \"a\" root \"b\" | \"c\""});
  for (uint64_t seed = 0; seed < 10; ++seed) {
    EXPECT_TRUE(json::parse(WalkAtRandom(object, seed), nullptr, false).is_object());
    EXPECT_TRUE(std::regex_match(WalkAtRandom(regex, seed), std::regex("[0-9]{3}(-x)?")));
    const std::string one = WalkAtRandom(choice, seed);
    EXPECT_TRUE(one == "yes" || one == "n\"o\\\n" || one == "\xC3\xBC") << one;
    const std::string nested = WalkAtRandom(ebnf, seed);
    EXPECT_EQ(std::count(nested.begin(), nested.end(), 'a'),
              std::count(nested.begin(), nested.end(), 'b'));
  }
}

TEST_F(TokenGrammarTest, WhatIsUnfitIsRefusedWithItsReason) {
  using Kind = GrammarSource::Kind;
  EXPECT_THAT(Refusal({.kind = Kind::kJsonSchema, .text = R"({"not":{}})"}), HasSubstr("not is"));
  EXPECT_THAT(
      Refusal({.kind = Kind::kJsonSchema, .text = R"({"type":"integer","minimum":2,"maximum":1})"}),
      Not(HasSubstr("/")));
  EXPECT_NE(Refusal({.kind = Kind::kRegex, .text = "(a"}), "");
  EXPECT_NE(Refusal({.kind = Kind::kGrammar, .text = "root ::= other"}), "");
  EXPECT_NE(Refusal({.kind = Kind::kGrammar, .text = "first ::= \"a\""}), "");
  EXPECT_NE(Refusal({.kind = Kind::kStructuralTag, .text = "{}"}), "");
  EXPECT_THAT(Refusal({.kind = Kind::kChoice}), HasSubstr("1 to"));
  EXPECT_THAT(Refusal({.kind = Kind::kRegex, .text = std::string(40'000, 'a')}),
              HasSubstr("at most"));
}

TEST_F(TokenGrammarTest, ATokenThatIsNotAllowedChangesNothing) {
  TokenMatcher matcher(Compiled({.kind = GrammarSource::Kind::kRegex, .text = "ab"}),
                       std::vector<TokenId>{kByteVocabularyEnd});
  EXPECT_FALSE(matcher.Accept('b'));
  EXPECT_TRUE(matcher.Accept('a'));
  EXPECT_FALSE(matcher.Accept(kByteVocabularyEnd));
  EXPECT_TRUE(matcher.Accept('b'));
  EXPECT_FALSE(matcher.ended());
  EXPECT_TRUE(matcher.Accept(kByteVocabularyEnd));
  EXPECT_TRUE(matcher.ended());
}

// What a request adds to the ends ends a text, too, and control tokens are never allowed.
TEST_F(TokenGrammarTest, TheEndsAreTheRequests) {
  const auto grammar = Compiled({.kind = GrammarSource::Kind::kRegex, .text = "a*"});
  TokenMatcher matcher(grammar, std::vector<TokenId>{kByteVocabularyEnd, '.'});
  std::vector<int32_t> mask(9);
  matcher.FillMask(mask);
  const auto allowed = [&](TokenId token) {
    return (mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1) != 0;
  };
  EXPECT_TRUE(allowed('a') && allowed('.') && allowed(kByteVocabularyEnd));
  EXPECT_FALSE(allowed('b') || allowed(kByteVocabularyStart));
}

}  // namespace
}  // namespace spillway
