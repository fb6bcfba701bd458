#include "server/dialects/openai_request.h"

#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

OpenAiRequest Chat(const std::string& fields) {
  const std::string body = R"({"messages":[{"role":"user","content":"hi"}])" +
                           (fields.empty() ? "" : "," + fields) + "}";
  OpenAiParseResult result = ParseChatRequest(body, DialectLimits());
  if (const auto* error = std::get_if<OpenAiError>(&result)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  return std::get<OpenAiRequest>(result);
}

OpenAiError ChatError(const std::string& body) {
  OpenAiParseResult result = ParseChatRequest(body, DialectLimits());
  if (const auto* error = std::get_if<OpenAiError>(&result)) return *error;
  ADD_FAILURE() << "accepted: " << body;
  return {};
}

std::string Messages(const std::string& messages) {
  OpenAiParseResult result = ParseChatRequest("{\"messages\":" + messages + "}", DialectLimits());
  if (const auto* error = std::get_if<OpenAiError>(&result)) return error->message;
  return std::get<ChatPrompt>(std::get<OpenAiRequest>(result).generate.prompt).messages_json;
}

TEST(OpenAiRequestTest, WhatIsNotSaidIsLeftOpen) {
  const OpenAiRequest request = Chat("");
  EXPECT_EQ(request.generate.model, "");
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.include_usage);
  EXPECT_EQ(request.generate.choices, 1);
  EXPECT_EQ(request.generate.new_tokens_max, 0);
  // The model's files decide (docs/decisions/0012-sampling-defaults.md).
  EXPECT_FALSE(request.generate.sampling.temperature.has_value());
  EXPECT_FALSE(request.generate.sampling.top_p.has_value());
  EXPECT_FALSE(request.generate.sampling.top_k.has_value());
  EXPECT_FALSE(request.generate.sampling.min_p.has_value());
  EXPECT_FALSE(request.generate.sampling.repetition_penalty.has_value());
  EXPECT_FALSE(request.generate.sampling.seed.has_value());
  EXPECT_TRUE(std::get<ChatPrompt>(request.generate.prompt).add_generation_prompt);
}

TEST(OpenAiRequestTest, ReadsEveryField) {
  const OpenAiRequest request = Chat(
      R"("model":"m","stream":true,"stream_options":{"include_usage":true,
      "continuous_usage_stats":true},"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.05,
      "presence_penalty":-2,"frequency_penalty":2,"repetition_penalty":1.1,"seed":42,"n":3,
      "stop":["a","b"],"stop_token_ids":[7],"max_tokens":5,"min_tokens":2,"ignore_eos":true,
      "logit_bias":{"12":-100,"13":1.5},"chat_template_kwargs":{"enable_thinking":false})");
  const GenerateRequest& generate = request.generate;
  EXPECT_EQ(generate.model, "m");
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_EQ(generate.sampling.temperature, 0.5f);
  EXPECT_EQ(generate.sampling.top_p, 0.9f);
  EXPECT_EQ(generate.sampling.top_k, 40);
  EXPECT_EQ(generate.sampling.min_p, 0.05f);
  EXPECT_EQ(generate.sampling.presence_penalty, -2.0f);
  EXPECT_EQ(generate.sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(generate.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(generate.sampling.seed, 42u);
  EXPECT_EQ(generate.choices, 3);
  EXPECT_THAT(generate.stop_strings, ElementsAre("a", "b"));
  EXPECT_THAT(generate.stop_token_ids, ElementsAre(7));
  EXPECT_EQ(generate.new_tokens_max, 5);
  EXPECT_EQ(generate.new_tokens_min, 2);
  EXPECT_TRUE(generate.ignore_end_of_text);
  EXPECT_EQ(generate.sampling.logit_bias, (std::map<int32_t, float>{{12, -100.0f}, {13, 1.5f}}));
  EXPECT_EQ(std::get<ChatPrompt>(generate.prompt).template_kwargs_json,
            R"({"enable_thinking":false})");
}

TEST(OpenAiRequestTest, WhatIsUnknownOrNullOrWithoutEffectIsIgnored) {
  Chat(R"("model":null,"temperature":null,"stop":null,"tools":null,"max_tokens":null,"seed":null,
       "logit_bias":null,"response_format":null,"stream_options":null,"logprobs":false,
       "top_logprobs":null,"user":"u","metadata":{},"store":true,"service_tier":"auto",
       "prompt_cache_key":"k","verbosity":"low","reasoning_effort":"high","made_up":[1,2],
       "parallel_tool_calls":true,"safety_identifier":"s","modalities":["text"],
       "response_format":{"type":"text"},"tools":[],"tool_choice":"none")");
}

TEST(OpenAiRequestTest, ReasoningIsSplitAndShownUnlessSaidOtherwise) {
  EXPECT_TRUE(Chat("").include_reasoning);
  EXPECT_FALSE(Chat("").generate.inline_reasoning);
  EXPECT_FALSE(Chat(R"("include_reasoning":false)").include_reasoning);
  EXPECT_TRUE(Chat(R"("separate_reasoning":false)").generate.inline_reasoning);
}

TEST(OpenAiRequestTest, NewNameOfMaxTokensWins) {
  EXPECT_EQ(Chat(R"("max_completion_tokens":7)").generate.new_tokens_max, 7);
  EXPECT_EQ(Chat(R"("max_tokens":5,"max_completion_tokens":7)").generate.new_tokens_max, 7);
  EXPECT_EQ(Chat(R"("max_tokens":512.0)").generate.new_tokens_max, 512);
}

TEST(OpenAiRequestTest, TheEdgesOfRanges) {
  EXPECT_EQ(Chat(R"("temperature":2)").generate.sampling.temperature, 2.0f);
  EXPECT_GT(Chat(R"("top_p":0)").generate.sampling.top_p, 0.0f);
  EXPECT_EQ(Chat(R"("top_k":-1)").generate.sampling.top_k, 0);
  EXPECT_LT(Chat(R"("min_p":1)").generate.sampling.min_p, 1.0f);
  EXPECT_EQ(Chat(R"("seed":-1)").generate.sampling.seed, UINT64_MAX);
  EXPECT_THAT(Chat(R"("stop":"x")").generate.stop_strings, ElementsAre("x"));
  EXPECT_THAT(Chat(R"("stop":["","x"])").generate.stop_strings, ElementsAre("x"));
  EXPECT_EQ(Chat(R"("n":16)").generate.choices, 16);
}

TEST(OpenAiRequestTest, UnfitFieldsNameParamValueAndRange) {
  struct Case {
    const char* field;
    const char* param;
    const char* says;
  };
  const std::vector<Case> cases = {
      {R"("temperature":2.1)", "temperature", "from 0 to 2, not 2.1"},
      {R"("temperature":"hot")", "temperature", "not \"hot\""},
      {R"("top_p":-0.1)", "top_p", "from 0 to 1"},
      {R"("top_k":-2)", "top_k", "from -1"},
      {R"("top_k":1.5)", "top_k", "an integer"},
      {R"("min_p":2)", "min_p", "from 0 to 1"},
      {R"("presence_penalty":3)", "presence_penalty", "from -2 to 2"},
      {R"("frequency_penalty":-3)", "frequency_penalty", "from -2 to 2"},
      {R"("repetition_penalty":0)", "repetition_penalty", "from 0.01"},
      {R"("seed":"x")", "seed", "an integer"},
      {R"("n":0)", "n", "from 1 to 16"},
      {R"("n":17)", "n", "from 1 to 16, not 17"},
      {R"("stop":5)", "stop", "at most 16 strings"},
      {R"("stop":[1])", "stop", "not 1"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"])", "stop",
       "not an array of 17"},
      {R"("stop_token_ids":[-1])", "stop_token_ids", "not -1"},
      {R"("max_tokens":0)", "max_tokens", "from 1"},
      {R"("max_tokens":1e300)", "max_tokens", "an integer"},
      {R"("max_completion_tokens":-5)", "max_completion_tokens", "not -5"},
      {R"("max_tokens":3,"min_tokens":4)", "min_tokens", "over max_tokens 3"},
      {R"("logit_bias":[])", "logit_bias", "must be an object"},
      {R"("logit_bias":{"a":1})", "logit_bias", "\"a\""},
      {R"("logit_bias":{"1":101})", "logit_bias", "-100 to 100, not 101"},
      {R"("model":5)", "model", "must be a string, not 5"},
      {R"("stream":"yes")", "stream", "true or false"},
      {R"("stream_options":1)", "stream_options", "an object"},
      {R"("stream_options":{"include_usage":1})", "stream_options.include_usage", "true or false"},
      {R"("logprobs":1)", "logprobs", "true or false"},
      {R"("top_logprobs":1)", "top_logprobs", "needs \"logprobs\": true"},
      {R"("logprobs":false,"top_logprobs":2)", "top_logprobs", "needs \"logprobs\": true"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs", "from 0 to 20, not 21"},
      {R"("logprobs":true,"top_logprobs":-1)", "top_logprobs", "from 0 to 20, not -1"},
      {R"("response_format":{"type":"xml"})", "response_format", "\"json_schema\", not \"xml\""},
      {R"("response_format":{"type":"json_schema"})", "response_format", "schema is missing"},
      {R"("guided_json":5)", "guided_json", "a JSON Schema, not 5"},
      {R"("guided_choice":[])", "guided_choice", "an array of strings"},
      {R"("guided_regex":[])", "guided_regex", "a string"},
      {R"("structured_outputs":[])", "structured_outputs", "an object"},
      {R"("structured_outputs":{"choice":[1]})", "structured_outputs.choice",
       "an array of strings"},
      {R"("guided_regex":"a","guided_grammar":"b")", "guided_grammar", "beside guided_regex"},
      {R"("tools":{})", "tools", "an array"},
      {R"("tool_choice":"required")", "tool_choice", "needs tools"},
      {R"("tool_choice":"must")", "tool_choice", "\"required\""},
      {R"("tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"function",)"
       R"("function":{"name":"g"}})",
       "tool_choice", "none of the tools"},
      {R"("functions":[{}])", "functions", "replaced by tools"},
      {R"("tools":[1])", "tools[0]", "an object"},
      {R"("tools":[{"type":"custom"}])", "tools[0].type", "only \"function\""},
      {R"("tools":[{"type":"function"}])", "tools[0].function", "an object"},
      {R"("tools":[{"function":{"name":""}}])", "tools[0].function.name", "1 to 256"},
      {R"("tools":[{"function":{"name":"f","parameters":1}}])", "tools[0].function.parameters",
       "an object, not 1"},
      {R"("parallel_tool_calls":1)", "parallel_tool_calls", "true or false"},
      {R"("modalities":["text","audio"])", "modalities", "[\"text\"]"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs", "an object"},
  };
  for (const Case& c : cases) {
    const OpenAiError error =
        ChatError(std::string(R"({"messages":[{"role":"user","content":"hi"}],)") + c.field + "}");
    EXPECT_EQ(error.status, 400) << c.field;
    EXPECT_EQ(error.type, "invalid_request_error");
    EXPECT_EQ(error.param, c.param) << error.message;
    EXPECT_THAT(error.message, HasSubstr(c.says)) << c.field;
  }
}

TEST(OpenAiRequestTest, BodiesThatAreNoRequest) {
  EXPECT_THAT(ChatError("").message, HasSubstr("empty"));
  EXPECT_THAT(ChatError("{\"messages\":").message, HasSubstr("not valid JSON: parse error at"));
  EXPECT_THAT(ChatError("[1]").message, HasSubstr("must be a JSON object, not an array of 1"));
  EXPECT_THAT(ChatError("{\"a\":\"\xff\"}").message, HasSubstr("not valid JSON"));
  EXPECT_THAT(ChatError(std::string(100'000, '[')).message, HasSubstr("nests deeper than 64"));
  EXPECT_EQ(ChatError("{}").param, "messages");
  EXPECT_EQ(ChatError(R"({"messages":[]})").param, "messages");
  EXPECT_EQ(ChatError(R"({"messages":"hi"})").param, "messages");
}

TEST(OpenAiRequestTest, NestingUpToTheLimitIsFineAndBracketsInStringsDoNotCount) {
  const std::string deep = std::string(63, '[') + std::string(63, ']');
  Chat("\"metadata\":" + deep);
  Chat("\"user\":\"\\\"" + std::string(1000, '[') + "\"");
}

TEST(OpenAiRequestTest, MessagesBecomeCanonical) {
  EXPECT_EQ(Messages(R"([{"role":"developer","content":"d"},{"role":"user","content":"u"}])"),
            R"([{"role":"system","content":"d"},{"role":"user","content":"u"}])");
  EXPECT_EQ(Messages(R"([{"role":"user","name":"bob","content":[{"type":"text","text":"a"},
                     {"type":"text","text":"b"}],"extra":1}])"),
            R"([{"role":"user","content":"ab","name":"bob"}])");
  EXPECT_EQ(Messages(R"([{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},
                     {"role":"tool","tool_call_id":"1","content":"4"}])"),
            R"([{"role":"assistant","content":"","tool_calls":[{"id":"1"}]},)"
            R"({"role":"tool","content":"4","tool_call_id":"1"}])");
}

TEST(OpenAiRequestTest, EarlierReasoningReachesTheTemplateUnderOneName) {
  const std::string canonical = R"([{"role":"assistant","content":"a","reasoning_content":"hm"}])";
  EXPECT_EQ(Messages(R"([{"role":"assistant","content":"a","reasoning_content":"hm"}])"),
            canonical);
  EXPECT_EQ(Messages(R"([{"role":"assistant","content":"a","reasoning":"hm"}])"), canonical);
  EXPECT_EQ(Messages(R"([{"role":"assistant","content":"a","reasoning_content":"hm",
                     "reasoning":"no"}])"),
            canonical);
}

TEST(OpenAiRequestTest, UnfitMessagesNameThePlace) {
  EXPECT_THAT(Messages(R"([{"role":"user","content":"a"},{"role":"robot","content":"b"}])"),
              HasSubstr("messages[1].role must be"));
  EXPECT_THAT(Messages(R"([{"content":"b"}])"), HasSubstr("not null"));
  EXPECT_THAT(Messages(R"(["hi"])"), HasSubstr("messages[0] must be an object"));
  EXPECT_THAT(Messages(R"([{"role":"user"}])"), HasSubstr("messages[0].content is missing"));
  EXPECT_THAT(Messages(R"([{"role":"user","content":5}])"), HasSubstr("not 5"));
  EXPECT_THAT(Messages(R"([{"role":"user","content":[{"type":"text"}]}])"),
              HasSubstr("messages[0].content[0].text must be a string"));
  EXPECT_THAT(
      Messages(R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])"),
      HasSubstr("\"image_url\"; this server takes only parts of type \"text\""));
}

TEST(OpenAiRequestTest, ToolsReachTheTemplateUnlessTheyMayNotBeUsed) {
  const auto tools = [](const std::string& fields) {
    return std::get<ChatPrompt>(Chat(fields).generate.prompt).tools_json;
  };
  const std::string tool = R"([{"type":"function","function":{"name":"f"}}])";
  EXPECT_EQ(tools("\"tools\":" + tool), tool);
  EXPECT_EQ(tools("\"tools\":" + tool + R"(,"tool_choice":"auto")"), tool);
  EXPECT_EQ(tools("\"tools\":" + tool + R"(,"tool_choice":"none")"), "");
}

TEST(OpenAiRequestTest, CallsAreLookedForWhereThereAreTools) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_FALSE(Chat("").generate.tool_use.has_value());
  EXPECT_FALSE(Chat(tools + R"(,"tool_choice":"none")").generate.tool_use.has_value());
  const auto use = Chat(tools).generate.tool_use;
  ASSERT_TRUE(use.has_value());
  EXPECT_EQ(use->choice, ToolUse::Choice::kAuto);
  EXPECT_FALSE(use->one_call);
  EXPECT_TRUE(Chat(tools + R"(,"parallel_tool_calls":false)").generate.tool_use->one_call);
  EXPECT_EQ(Chat(tools + R"(,"tool_choice":"required")").generate.tool_use->choice,
            ToolUse::Choice::kRequired);
  const auto named =
      Chat(tools + R"(,"tool_choice":{"type":"function","function":{"name":"f"}})").generate;
  EXPECT_EQ(named.tool_use->choice, ToolUse::Choice::kNamed);
  EXPECT_EQ(named.tool_use->name, "f");
}

TEST(OpenAiRequestTest, ConstraintsComeUnderManyNames) {
  using Kind = OutputConstraint::Kind;
  const auto read = [](const std::string& fields) {
    return Chat(fields).generate.constraint.value_or(OutputConstraint{.field = "none"});
  };
  const auto expect = [&](const std::string& fields, Kind kind, const std::string& text,
                          const std::string& field) {
    const OutputConstraint constraint = read(fields);
    EXPECT_EQ(constraint.kind, kind) << fields;
    EXPECT_EQ(constraint.text, text) << fields;
    EXPECT_EQ(constraint.field, field) << fields;
  };
  expect("", Kind::kJsonObject, "", "none");
  expect(R"("response_format":{"type":"text"})", Kind::kJsonObject, "", "none");
  expect(R"("response_format":{"type":"json_object"})", Kind::kJsonObject, "", "response_format");
  const std::string schema = R"({"type":"object","properties":{"b":{},"a":{}}})";
  expect(R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,)"
         R"("schema":)" +
             schema + "}}",
         Kind::kJsonSchema, schema, "response_format.json_schema.schema");
  expect("\"guided_json\":" + schema, Kind::kJsonSchema, schema, "guided_json");
  expect(R"("guided_json":"{}")", Kind::kJsonSchema, "{}", "guided_json");
  expect(R"("structured_outputs":{"json":)" + schema + "}", Kind::kJsonSchema, schema,
         "structured_outputs.json");
  expect(R"("guided_regex":"a+")", Kind::kRegex, "a+", "guided_regex");
  expect(R"("structured_outputs":{"grammar":"root ::= \"a\""})", Kind::kGrammar, "root ::= \"a\"",
         "structured_outputs.grammar");
  const OutputConstraint choice = read(R"("guided_choice":["x","y"])");
  EXPECT_EQ(choice.kind, Kind::kChoice);
  EXPECT_EQ(choice.choices, (std::vector<std::string>{"x", "y"}));
}

TEST(OpenAiRequestTest, WhatTemplatesSeeKeepsItsKeysOrderAndSpelling) {
  const auto prompt = [](const std::string& fields) {
    return std::get<ChatPrompt>(Chat(fields).generate.prompt);
  };
  const std::string tools =
      R"([{"type":"function", "function":{"name":"f","b":1.50,"a":{"z":[],"y":2}}}])";
  EXPECT_EQ(prompt("\"tools\": " + tools + " ").tools_json, tools);
  EXPECT_EQ(prompt(R"("tools":[1],"tools":)" + tools).tools_json, tools);
  EXPECT_EQ(prompt(R"("chat_template_kwargs":{"z":1,"a":"\u00e9"})").template_kwargs_json,
            R"({"z":1,"a":"\u00e9"})");
  const std::string call =
      R"({"id":"1","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"},"type":"function"})";
  EXPECT_EQ(Messages(R"([{"tool_calls": [)" + call + R"(],"role":"assistant"}])"),
            R"([{"role":"assistant","content":"","tool_calls":[)" + call + "]}]");
}

TEST(OpenAiRequestTest, NamesWithEscapesCostTheOrderOnly) {
  EXPECT_EQ(
      std::get<ChatPrompt>(
          Chat(R"("to\u006fls":[{"type":"function","function":{"name":"f"}}])").generate.prompt)
          .tools_json,
      R"([{"function":{"name":"f"},"type":"function"}])");
  EXPECT_EQ(Messages(R"([{"r\u006fle":"assistant","tool_calls":[{"b":1,"a":2}]}])"),
            R"([{"role":"assistant","content":"","tool_calls":[{"a":2,"b":1}]}])");
}

TEST(OpenAiRequestTest, SwitchesOfThinkingAreTemplateVariables) {
  const auto variables = [](const std::string& fields) {
    return std::get<ChatPrompt>(Chat(fields).generate.prompt).template_kwargs_json;
  };
  EXPECT_EQ(variables(R"("chat_template_kwargs":{})"), "");
  EXPECT_EQ(variables(R"("enable_thinking":false)"), R"({"enable_thinking":false})");
  EXPECT_EQ(variables(R"("reasoning_effort":"low","enable_thinking":true)"),
            R"({"enable_thinking":true,"reasoning_effort":"low"})");
  // The later of two counts.
  EXPECT_EQ(variables(R"("enable_thinking":true,"chat_template_kwargs":{"enable_thinking":false})"),
            R"({"enable_thinking":true,"enable_thinking":false})");
  EXPECT_EQ(
      ChatError(R"({"messages":[{"role":"user","content":"a"}],"enable_thinking":"no"})").param,
      "enable_thinking");
}

TEST(OpenAiRequestTest, CompletionPrompts) {
  const auto prompt = [](const std::string& json) {
    OpenAiParseResult result = ParseCompletionRequest("{\"prompt\":" + json + "}", DialectLimits());
    EXPECT_TRUE(std::holds_alternative<OpenAiRequest>(result)) << json;
    return std::get<OpenAiRequest>(result).generate.prompt;
  };
  EXPECT_EQ(std::get<std::string>(prompt(R"("once")")), "once");
  EXPECT_EQ(std::get<std::string>(prompt(R"(["once"])")), "once");
  EXPECT_THAT(std::get<std::vector<int32_t>>(prompt("[1,2]")), ElementsAre(1, 2));
  EXPECT_THAT(std::get<std::vector<int32_t>>(prompt("[[1,2]]")), ElementsAre(1, 2));
}

TEST(OpenAiRequestTest, SeveralPromptsStayInOrder) {
  const auto parse = [](const std::string& fields) {
    return ParseCompletionRequest("{\"prompt\":" + fields + "}",
                                  {.prompts_max = 3, .answers_max = 5});
  };
  const auto texts = std::get<OpenAiRequest>(parse(R"(["a","b","c"])"));
  EXPECT_EQ(std::get<std::string>(texts.generate.prompt), "a");
  ASSERT_EQ(texts.further_prompts.size(), 2u);
  EXPECT_EQ(std::get<std::string>(texts.further_prompts[1]), "c");
  const auto ids = std::get<OpenAiRequest>(parse("[[1,2],[3]]"));
  EXPECT_THAT(std::get<std::vector<int32_t>>(ids.generate.prompt), ElementsAre(1, 2));
  EXPECT_THAT(std::get<std::vector<int32_t>>(ids.further_prompts.at(0)), ElementsAre(3));

  EXPECT_THAT(std::get<OpenAiError>(parse(R"(["a","b","c","d"])")).message,
              HasSubstr("holds 4 texts, at most 3"));
  EXPECT_THAT(std::get<OpenAiError>(parse(R"(["a","b"],"n":3)")).message,
              HasSubstr("6 answers, at most 5"));
  EXPECT_EQ(std::get<OpenAiError>(parse(R"(["a","b"],"n":3)")).param, "n");
  EXPECT_THAT(std::get<OpenAiError>(parse(R"(["a",5])")).message, HasSubstr("prompt[1] must be"));
  EXPECT_THAT(std::get<OpenAiError>(parse(R"([[1],[]])")).message, HasSubstr("prompt[1] must be"));
}

TEST(OpenAiRequestTest, AnEchoHasTheLogprobsOfTheOutput) {
  const auto parse = [](const std::string& fields) {
    return std::get<OpenAiRequest>(
               ParseCompletionRequest("{\"prompt\":\"a\"," + fields + "}", DialectLimits()))
        .generate;
  };
  EXPECT_TRUE(parse(R"("echo":true)").echo);
  EXPECT_EQ(parse(R"("echo":true)").prompt_logprobs, -1);
  EXPECT_EQ(parse(R"("echo":true,"logprobs":3)").prompt_logprobs, 3);
  EXPECT_EQ(parse(R"("echo":false,"logprobs":3)").prompt_logprobs, -1);
  EXPECT_FALSE(parse(R"("max_tokens":1)").prompt_only);
  EXPECT_TRUE(parse(R"("max_tokens":0)").prompt_only);
}

TEST(OpenAiRequestTest, UnfitCompletions) {
  const auto error = [](const std::string& body) {
    OpenAiParseResult result = ParseCompletionRequest(body, DialectLimits());
    EXPECT_TRUE(std::holds_alternative<OpenAiError>(result)) << body;
    return std::get<OpenAiError>(result);
  };
  EXPECT_THAT(error("{}").message, HasSubstr("prompt is missing"));
  EXPECT_EQ(error(R"({"prompt":[]})").param, "prompt");
  EXPECT_EQ(error(R"({"prompt":[1,"a"]})").param, "prompt");
  EXPECT_EQ(error(R"({"prompt":[-1]})").param, "prompt");
  EXPECT_EQ(error(R"({"prompt":"a","echo":1})").param, "echo");
  EXPECT_EQ(error(R"({"prompt":"a","max_tokens":-1})").param, "max_tokens");
  EXPECT_EQ(error(R"({"prompt":"a","max_tokens":0,"min_tokens":1})").param, "min_tokens");
  EXPECT_THAT(error(R"({"prompt":"a","logprobs":6})").message, HasSubstr("from 0 to 5, not 6"));
  EXPECT_EQ(error(R"({"prompt":"a","logprobs":true})").param, "logprobs");
  EXPECT_EQ(error(R"({"prompt":"a","suffix":"z"})").param, "suffix");
  EXPECT_EQ(error(R"({"prompt":"a","best_of":2})").param, "best_of");
}

TEST(OpenAiRequestTest, LogprobsAreAskedForInTwoWays) {
  const auto chat = [](const std::string& fields) {
    return Chat(fields).generate.sampling.top_logprobs;
  };
  const auto completion = [](const std::string& fields) {
    OpenAiParseResult result =
        ParseCompletionRequest("{\"prompt\":\"a\"" + fields + "}", DialectLimits());
    return std::get<OpenAiRequest>(result).generate.sampling.top_logprobs;
  };
  EXPECT_EQ(chat(""), -1);
  EXPECT_EQ(chat(R"("logprobs":false,"top_logprobs":0)"), -1);
  EXPECT_EQ(chat(R"("logprobs":true)"), 0);
  EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":20)"), 20);
  EXPECT_EQ(completion(""), -1);
  EXPECT_EQ(completion(R"(,"logprobs":null)"), -1);
  EXPECT_EQ(completion(R"(,"logprobs":0)"), 0);
  EXPECT_EQ(completion(R"(,"logprobs":5)"), 5);
}

TEST(OpenAiRequestTest, CompletionsDefaultToSixteenTokens) {
  OpenAiParseResult result = ParseCompletionRequest(R"({"prompt":"a"})", DialectLimits());
  EXPECT_EQ(std::get<OpenAiRequest>(result).generate.new_tokens_max, 16);
}

}  // namespace
}  // namespace spillway
