#include "worker/grammar/tool_grammar.h"

#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/grammar/grammar_walk.h"
#include "worker/text/output_parser.h"
#include "worker/text/tool_names.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kTools[] =
    R"([{"type":"function","function":{"name":"add","parameters":{"type":"object",)"
    R"("properties":{"a":{"type":"integer"}},"required":["a"]}}},)"
    R"({"type":"function","function":{"name":"now"}}])";

class ToolGrammarTest : public ::testing::Test {
 protected:
  // The calls in a random text, all of which they must be.
  std::vector<std::pair<std::string, json>> Calls(const ToolGrammar& grammar, uint64_t seed) {
    const auto compiled = compiler_.Compile(grammar.source);
    EXPECT_TRUE(compiled.ok()) << compiled.status();
    const std::string text = WalkAtRandom(*compiled, seed);
    OutputParser parser({}, {.format = grammar.format, .tools = ToolNames(kTools)});
    OutputText out;
    parser.Append(text, out);
    parser.Flush(out);
    EXPECT_EQ(out.content, "") << text;
    std::vector<std::pair<std::string, std::string>> texts;
    for (const ToolCallDelta& delta : out.tool_calls) {
      if (!delta.name.empty()) texts.emplace_back(delta.name, "");
      texts.back().second += delta.arguments;
    }
    std::vector<std::pair<std::string, json>> calls;
    for (const auto& [name, arguments] : texts) {
      calls.emplace_back(name, json::parse(arguments, nullptr, false));
      EXPECT_TRUE(calls.back().second.is_object()) << text;
    }
    EXPECT_FALSE(calls.empty()) << text;
    return calls;
  }

  std::unique_ptr<Tokenizer> tokenizer_ = *Tokenizer::Create(ByteVocabulary());
  GrammarCompiler compiler_{*tokenizer_};
};

TEST_F(ToolGrammarTest, EveryFormatsRandomTextsAreCallsOfTheTools) {
  for (const ToolCallFormat& format : ToolCallFormats()) {
    SCOPED_TRACE(format.name);
    const auto grammar = MakeToolGrammar(kTools, format, "", /*one_call=*/false);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    for (uint64_t seed = 0; seed < 3; ++seed) {
      for (const auto& [name, arguments] : Calls(*grammar, seed)) {
        EXPECT_TRUE(name == "now" || (name == "add" && arguments.at("a").is_number_integer()));
      }
    }
  }
}

TEST_F(ToolGrammarTest, ANamedToolIsCalledOnce) {
  for (const char* format : {"<tool_call><tools>", "<|python_tag|>", ""}) {
    const auto grammar = MakeToolGrammar(kTools, FindToolCallFormat(format), "add", false);
    for (uint64_t seed = 0; seed < 3; ++seed) {
      const auto calls = Calls(*grammar, seed);
      ASSERT_EQ(calls.size(), 1u);
      EXPECT_EQ(calls[0].first, "add");
    }
  }
}

TEST_F(ToolGrammarTest, OnlyStrictToolsAreRefusedForTheirSchema) {
  const auto made = [](const std::string& more) {
    return MakeToolGrammar(R"([{"type":"function","function":{"name":"f")" + more +
                               R"(,"parameters":{"type":"object","not":{}}}}])",
                           FindToolCallFormat(""), "", false);
  };
  EXPECT_TRUE(made("").ok());
  EXPECT_THAT(std::string(made(",\"strict\":true").status().message()),
              HasSubstr("the parameters of \"f\": $: not is not supported"));
  EXPECT_THAT(
      std::string(MakeToolGrammar(kTools, FindToolCallFormat(""), "g", false).status().message()),
      HasSubstr("no tool \"g\""));
}

}  // namespace
}  // namespace spillway
