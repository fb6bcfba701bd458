#include "worker/text/tool_call_parser.h"

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/text/output_parser.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

const ToolCallFormat& FormatNamed(std::string_view name) {
  for (const ToolCallFormat& format : ToolCallFormats()) {
    if (format.name == name) return format;
  }
  ADD_FAILURE() << "no format " << name;
  return ToolCallFormats()[0];
}

const ReasoningFormat& Think() {
  for (const ReasoningFormat& format : ReasoningFormats()) {
    if (format.name == "think") return format;
  }
  return ReasoningFormats()[0];
}

struct Parsed {
  std::string reasoning;
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments

  friend bool operator==(const Parsed&, const Parsed&) = default;
};

// Joins deltas, and checks that each call begins once, with its name, in its turn.
void Join(const OutputText& text, Parsed& parsed) {
  parsed.reasoning += text.reasoning;
  parsed.content += text.content;
  for (const ToolCallDelta& delta : text.tool_calls) {
    ASSERT_EQ(delta.name.empty(), static_cast<size_t>(delta.index) + 1 == parsed.calls.size());
    if (!delta.name.empty()) {
      ASSERT_EQ(static_cast<size_t>(delta.index), parsed.calls.size());
      parsed.calls.emplace_back(delta.name, "");
    }
    EXPECT_TRUE(IsUtf8(delta.arguments));
    parsed.calls.back().second += delta.arguments;
  }
  EXPECT_TRUE(IsUtf8(text.content));
}

const std::vector<std::string> kTools = {"get_weather", "add", "now"};

Parsed Parse(std::string_view format, const std::vector<std::string>& pieces, bool thinks = false,
             bool one_call = false) {
  OutputParser parser({.format = thinks ? &Think() : nullptr},
                      {.format = &FormatNamed(format), .tools = kTools, .one_call = one_call});
  Parsed parsed;
  for (const std::string& piece : pieces) {
    OutputText text;
    parser.Append(piece, text);
    Join(text, parsed);
  }
  OutputText text;
  parser.Flush(text);
  Join(text, parsed);
  return parsed;
}

auto Is(const std::string& content, const std::vector<std::pair<std::string, std::string>>& calls) {
  return AllOf(Field(&Parsed::reasoning, ""), Field(&Parsed::content, content),
               Field(&Parsed::calls, calls));
}

TEST(ToolCallParserTest, Hermes) {
  const auto hermes = [](const std::string& text) { return Parse("hermes", {text}); };
  EXPECT_THAT(hermes("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}"
                     "\n</tool_call>"),
              Is("", {{"get_weather", "{\"city\": \"Rome\"}"}}));
  EXPECT_THAT(hermes("I look.\n\n<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>\n"
                     "<tool_call>{\"name\":\"now\"}</tool_call>\n Done. "),
              Is("I look.Done. ", {{"add", "{}"}, {"now", "{}"}}));
  EXPECT_THAT(hermes("<tool_call>{\"arguments\":{\"a\":\"}\"},\"name\":\"add\"}</tool_call>"),
              Is("", {{"add", "{\"a\":\"}\"}"}}));
  EXPECT_THAT(hermes("<tool_call>{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}</tool_call>"),
              Is("", {{"add", "{\"a\":1}"}}));
}

TEST(ToolCallParserTest, WhatLooksLikeACallAndIsNoneIsContent) {
  for (const std::string text :
       {"Say <tool_call> and </tool_call>.", "<tool_call>\nno\n</tool_call>",
        "<tool_call>{\"a\": 1}</tool_call>", "<tool_call>{\"name\": 1}</tool_call>",
        "<tool_call>{\"name\":\"add\",\"arguments\":[1]}</tool_call>", "<tool_c", " <tool_call> ",
        "<tool_call>{\"name\": \"a b\"}", "<tool_call>{\"name\":\"add\",\"arguments\": ",
        "{\"name\":\"add\",\"arguments\":{}}", "a\n\n", "\n", "<tool_call>}"}) {
    EXPECT_THAT(Parse("hermes", {text}), Is(text, {}));
  }
  for (const std::string text :
       {"{\"name\":\"Ada\",\"arguments\":{}}", "{\"a\":1}", " [1, 2]", "[{\"name\":\"x\"}]", "{}",
        "Call {\"name\":\"add\",\"parameters\":{}}", "{\"name\":\"add\"}", "[[]]",
        "{\"name\":\"add\",\"parameters\":7}", "{\"name\":\"add\",\"x\":{}}"}) {
    EXPECT_THAT(Parse("llama3_json", {text}), Is(text, {}));
    EXPECT_THAT(Parse("generic", {text}), Is(text, {}));
  }
  for (const std::string text : {"[add(1)]", "[sub(a=1)]", "[add(a=b)]", "add(a=1)", "[add(a=1",
                                 "[1]", "[add]", "[x for x in y]", "[add(a=[)]"}) {
    EXPECT_THAT(Parse("pythonic", {text}), Is(text, {}));
  }
  for (const std::string text : {"[TOOL_CALLS] [1]", "[TOOL_CALLS]add{}", "[TOOL_CALLS]",
                                 "[TOOL_CALL]", "[TOOL_CALLS]add[AR"}) {
    EXPECT_THAT(Parse("mistral", {text}), Is(text, {}));
  }
  for (const std::string text :
       {"<｜tool▁calls▁begin｜>no", "<｜tool▁call▁begin｜>add<｜tool▁sep｜>x", "<｜tool▁calls"}) {
    EXPECT_THAT(Parse("deepseek", {text}), Is(text, {}));
  }
}

TEST(ToolCallParserTest, BehindABrokenCallAnotherIsFound) {
  EXPECT_THAT(Parse("hermes", {"<tool_call><tool_call>{\"name\":\"add\",\"arguments\":{}}"
                               "</tool_call>"}),
              Is("<tool_call>", {{"add", "{}"}}));
  EXPECT_THAT(Parse("hermes", {"<tool_call>{\"name\":\"add\",\"arguments\":{}} x"
                               "<tool_call>{\"name\":\"now\"}</tool_call>"}),
              Is("x", {{"add", "{}"}, {"now", "{}"}}));
}

TEST(ToolCallParserTest, Llama) {
  EXPECT_THAT(Parse("llama3_json", {"{\"name\": \"add\", \"parameters\": {\"a\": \"1\"}}"}),
              Is("", {{"add", "{\"a\": \"1\"}"}}));
  EXPECT_THAT(Parse("llama3_json", {"\n<|python_tag|>{\"type\": \"function\", \"name\": \"add\", "
                                    "\"parameters\": {}} ; {\"name\":\"now\",\"parameters\":{}}"}),
              Is("", {{"add", "{}"}, {"now", "{}"}}));
  EXPECT_THAT(Parse("pythonic", {"[get_weather(city='Rom\\'s \"a\"', days=2), now(), "
                                 "add(a=[1.5, None, (True,)], b={\"k\": 'ü'})] ok"}),
              Is("ok", {{"get_weather", "{\"city\": \"Rom's \\\"a\\\"\", \"days\": 2}"},
                        {"now", "{}"},
                        {"add", "{\"a\": [1.5, null, [true]], \"b\": {\"k\": \"ü\"}}"}}));
  EXPECT_THAT(Parse("pythonic", {"<|python_start|>[now()]<|python_end|>"}),
              Is("", {{"now", "{}"}}));
}

TEST(ToolCallParserTest, Mistral) {
  EXPECT_THAT(
      Parse("mistral_json", {"[TOOL_CALLS] [{\"name\": \"add\", \"arguments\": {\"a\": 1}, "
                             "\"id\": \"abcdefghi\"}, {\"name\":\"now\",\"arguments\":{}}]"}),
      Is("", {{"add", "{\"a\": 1}"}, {"now", "{}"}}));
  EXPECT_THAT(
      Parse("mistral", {"Hm.[TOOL_CALLS]add[ARGS]{\"a\": [1]}[TOOL_CALLS]now[CALL_ID]x1[ARGS]{}"}),
      Is("Hm.", {{"add", "{\"a\": [1]}"}, {"now", "{}"}}));
}

TEST(ToolCallParserTest, DeepSeek) {
  EXPECT_THAT(
      Parse("deepseek", {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n"
                         "```json\n{\"a\": \"```\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>"
                         "function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
                         "<｜tool▁calls▁end｜>"}),
      Is("", {{"add", "{\"a\": \"```\"}"}, {"now", "{}"}}));
  EXPECT_THAT(
      Parse("deepseek", {"a<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\":1}"
                         "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"}),
      Is("a", {{"add", "{\"a\":1}"}}));
}

TEST(ToolCallParserTest, ArgumentsComeAsTheyAreWritten) {
  OutputParser parser({}, {.format = &FormatNamed("hermes"), .tools = kTools});
  const auto append = [&](const std::string& text) {
    OutputText out;
    parser.Append(text, out);
    EXPECT_EQ(out.content, "");
    return out.tool_calls;
  };
  EXPECT_THAT(append("<tool_call>\n{\"name\": \"add\", \"argu"), IsEmpty());
  EXPECT_THAT(append("ments\": {"), ElementsAre(ToolCallDelta{0, "add", "{"}));
  EXPECT_THAT(append("\"a\": \"x"), ElementsAre(ToolCallDelta{0, "", "\"a\": \"x"}));
  EXPECT_THAT(append("\"}}\n</tool"), ElementsAre(ToolCallDelta{0, "", "\"}"}));
  EXPECT_THAT(append("_call><tool_call>{\"name\":\"now\"}"),
              ElementsAre(ToolCallDelta{1, "now", "{}"}));
}

TEST(ToolCallParserTest, WhatCallsInReasoningIsReasoning) {
  const Parsed parsed =
      Parse("hermes",
            {"<think>\nI could <tool_call>{\"name\":\"add\",\"arguments\":{}}"
             "</tool_call>\n</think>\n\n<tool_call>{\"name\":\"now\"}</tool_call>"},
            /*thinks=*/true);
  EXPECT_EQ(parsed.reasoning, "I could <tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>");
  EXPECT_EQ(parsed.content, "");
  EXPECT_THAT(parsed.calls, ElementsAre(std::pair("now", "{}")));
}

TEST(ToolCallParserTest, OneCallIsTheEnd) {
  OutputParser parser({}, {.format = &FormatNamed("hermes"), .tools = kTools, .one_call = true});
  OutputText out;
  parser.Append("<tool_call>{\"name\":\"add\",\"arguments\":{\"a\":1}", out);
  EXPECT_TRUE(parser.ended());
  parser.Append("}</tool_call> and more", out);
  parser.Flush(out);
  EXPECT_EQ(out.content, "");
  EXPECT_THAT(out.tool_calls, ElementsAre(ToolCallDelta{0, "add", "{\"a\":1}"}));
}

TEST(ToolCallParserTest, MarkersMayBeControlTokens) {
  OutputParser parser({.format = &Think()}, {.format = &FormatNamed("mistral"), .tools = kTools});
  OutputText out;
  parser.AppendControl("<s>", out);
  parser.AppendControl("[TOOL_CALLS]", out);
  parser.Append("add", out);
  parser.AppendControl("[ARGS]", out);
  parser.Append("{\"a\":", out);
  parser.AppendControl("<s>", out);
  parser.AppendControl("[TOOL_CALLS]", out);
  parser.Append("1}", out);
  parser.Flush(out);
  EXPECT_EQ(out.content, "");
  EXPECT_THAT(out.tool_calls, ElementsAre(ToolCallDelta{0, "add", "{\"a\":1}"}));
}

// What can't be a call is not waited for, and what is long is given back.
TEST(ToolCallParserTest, WhatIsHeldBackIsBounded) {
  OutputParser parser({}, {.format = &FormatNamed("generic"), .tools = kTools});
  OutputText out;
  parser.Append(" {\"answer\"", out);
  EXPECT_EQ(out.content, " {\"answer\"");

  OutputParser marked({}, {.format = &FormatNamed("hermes"), .tools = kTools});
  OutputText text;
  marked.Append("<tool_call>{\"x\": \"" + std::string(300'000, 'a'), text);
  EXPECT_GT(text.content.size(), 200'000u);
  marked.Append("\"}", text);
  marked.Flush(text);
  EXPECT_EQ(text.content, "<tool_call>{\"x\": \"" + std::string(300'000, 'a') + "\"}");
}

// --- every way to cut ---

struct Sample {
  const char* format;
  const char* text;
};

const Sample kCorpus[] = {
    {"hermes",
     "Hé!\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"ü{\\\"\"}}\n"
     "</tool_call>\n<tool_call>{\"name\":\"now\"}</tool_call> x"},
    {"hermes", "<think>a<tool_call>b</think>\n<tool_call>{\"arguments\":{},\"name\":\"add\"}<tool"},
    {"hermes", "<tool_call><tool_call>{\"name\":\"add\",\"arguments\":{\"a\":[}}</tool_call>"},
    {"granite", "<|tool_call|>[{\"name\":\"add\",\"arguments\":{\"b\":{}}},{\"name\":\"now\"}] y"},
    {"granite", "<|tool_call|>[{\"name\":\"add\",\"arguments\":{}}, oops]"},
    {"llama3_json", "{\"name\": \"add\", \"parameters\": {\"a\": 1}}; {\"name\":\"no\",\"parame"},
    {"llama3_json", " <|python_tag|>{\"name\": \"add\", \"parameters\": {}}\n; and"},
    {"llama3_json", "{\"name\": \"sub\", \"parameters\": {\"a\": 1}} and {"},
    {"generic", "[{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":2}\"} , {\"name\":\"now\",\"arg"},
    {"generic", "{\"type\":\"function\",\"function\":{\"name\":\"add\",\"arguments\":{}}} z"},
    {"pythonic", " [add(a='x, y)', b=[1, 2]), now()] t"},
    {"pythonic", "[add(a=1), sub(b=2)]"},
    {"mistral", "a [TOOL_CALLS]add[CALL_ID]1[ARGS]{\"a\": 1} [TOOL_CALLS]now[ARGS]{}!"},
    {"mistral_json", "[TOOL_CALLS] [{\"name\":\"add\",\"arguments\":{\"a\":1},\"id\":\"x}\"}]\n"},
    {"deepseek",
     "ok <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n"
     "{\"a\": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>\nend"},
};

std::vector<std::string> Characters(std::string_view text) {
  std::vector<std::string> characters;
  while (!text.empty()) {
    const size_t size = FirstUtf8Character(text).size;
    characters.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return characters;
}

std::string JoinedFrom(const std::vector<std::string>& characters, size_t begin, size_t end) {
  std::string joined;
  for (size_t i = begin; i < end; ++i) joined += characters[i];
  return joined;
}

TEST(ToolCallParserTest, EveryCutInTwoOrThreeGivesTheSame) {
  for (const Sample& sample : kCorpus) {
    const std::vector<std::string> characters = Characters(sample.text);
    const size_t size = characters.size();
    const Parsed whole = Parse(sample.format, {sample.text}, /*thinks=*/true);
    for (size_t first = 0; first <= size; ++first) {
      for (size_t second = first; second <= size; ++second) {
        ASSERT_EQ(Parse(sample.format,
                        {JoinedFrom(characters, 0, first), JoinedFrom(characters, first, second),
                         JoinedFrom(characters, second, size)},
                        /*thinks=*/true),
                  whole)
            << sample.text << " cut at " << first << " and " << second;
      }
    }
  }
}

// Texts made of the formats' pieces, cut at random: the same however they are cut, and nothing of
// what was written is lost where there is no call.
TEST(ToolCallParserTest, RandomTextsCutAtRandomGiveTheSame) {
  std::mt19937 random(20261121);
  const std::vector<std::string> pieces = {"<tool_call>",
                                           "</tool_call>",
                                           "{\"name\": \"add\", \"arguments\": {",
                                           "\"a\": 1",
                                           "}}",
                                           "}",
                                           "[",
                                           "]",
                                           "\n",
                                           " ",
                                           "{\"name\":\"now\"}",
                                           ";",
                                           ",",
                                           "[TOOL_CALLS]",
                                           "add",
                                           "[ARGS]",
                                           "{}",
                                           "add(a='",
                                           "')",
                                           "now()",
                                           "<｜tool▁calls▁begin｜>",
                                           "<｜tool▁call▁begin｜>",
                                           "<｜tool▁sep｜>",
                                           "<｜tool▁call▁end｜>",
                                           "```",
                                           "ü",
                                           "<think>",
                                           "</think>",
                                           "<|python_tag|>",
                                           "\"",
                                           "{"};
  for (int round = 0; round < 4000; ++round) {
    const auto formats = ToolCallFormats();
    const ToolCallFormat& format = formats[random() % formats.size()];
    std::string text;
    for (size_t i = random() % 12; i > 0; --i) text += pieces[random() % pieces.size()];
    const std::vector<std::string> characters = Characters(text);
    std::vector<std::string> cut(1);
    for (const std::string& character : characters) {
      if (random() % 3 == 0) cut.emplace_back();
      cut.back() += character;
    }
    const bool thinks = random() % 2 == 0;
    const bool one_call = random() % 4 == 0;
    const Parsed whole = Parse(format.name, {text}, thinks, one_call);
    ASSERT_EQ(Parse(format.name, cut, thinks, one_call), whole) << format.name << ": " << text;
    if (whole.calls.empty() && !thinks) {
      ASSERT_EQ(whole.content, text) << format.name;
    }
  }
}

TEST(ToolCallFormatTest, IsKnownByTheTemplate) {
  EXPECT_EQ(FindToolCallFormat("… <tools> … <tool_call>").name, "hermes");
  EXPECT_EQ(FindToolCallFormat("<tool_call><function=").name, "generic");
  EXPECT_EQ(FindToolCallFormat("[TOOL_CALLS]").name, "mistral_json");
  EXPECT_EQ(FindToolCallFormat("[TOOL_CALLS] [ARGS]").name, "mistral");
  EXPECT_EQ(FindToolCallFormat("<｜tool▁calls▁begin｜>").name, "deepseek");
  EXPECT_EQ(FindToolCallFormat("<|python_tag|>").name, "llama3_json");
  EXPECT_EQ(FindToolCallFormat("").name, "generic");
}

}  // namespace
}  // namespace spillway
