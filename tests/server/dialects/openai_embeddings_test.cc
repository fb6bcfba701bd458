#include "server/dialects/openai_embeddings.h"

#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/dialects/embedding_operation.h"
#include "tests/support/fake_router.h"
#include "tests/support/recording_writer.h"

namespace spillway {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

OpenAiEmbeddingRequest Parsed(const std::string& body) {
  return std::get<OpenAiEmbeddingRequest>(ParseEmbeddingRequest(body, DialectLimits()));
}
OpenAiError Refused(const std::string& body) {
  return std::get<OpenAiError>(ParseEmbeddingRequest(body, DialectLimits()));
}

TEST(OpenAiEmbeddingRequestTest, TakesTextsAndTokensOneAndMany) {
  EXPECT_THAT(Parsed(R"({"input":"a"})").embed.inputs, ElementsAre(EmbeddingInput("a")));
  EXPECT_THAT(Parsed(R"({"input":["a","b"]})").embed.inputs,
              ElementsAre(EmbeddingInput("a"), EmbeddingInput("b")));
  using Ids = std::vector<int32_t>;
  EXPECT_THAT(Parsed(R"({"input":[1,2]})").embed.inputs, ElementsAre(EmbeddingInput(Ids{1, 2})));
  EXPECT_THAT(Parsed(R"({"input":[[1],[2,3]]})").embed.inputs,
              ElementsAre(EmbeddingInput(Ids{1}), EmbeddingInput(Ids{2, 3})));
  const OpenAiEmbeddingRequest all =
      Parsed(R"({"input":"a","model":"m","encoding_format":"base64","dimensions":3,"user":"u"})");
  EXPECT_EQ(all.embed.model, "m");
  EXPECT_TRUE(all.base64);
  EXPECT_EQ(all.dimensions, 3);
  EXPECT_FALSE(Parsed(R"({"input":"a"})").base64);
}

TEST(OpenAiEmbeddingRequestTest, NamesWhatIsUnfit) {
  EXPECT_EQ(Refused("{}").param, "input");
  EXPECT_EQ(Refused(R"({"input":[]})").param, "input");
  EXPECT_EQ(Refused(R"({"input":["a",7]})").param, "input");
  EXPECT_THAT(Refused(R"({"input":["a",7]})").message, HasSubstr("input[1]"));
  EXPECT_EQ(Refused(R"({"input":"a","encoding_format":"int8"})").param, "encoding_format");
  EXPECT_EQ(Refused(R"({"input":"a","dimensions":0})").param, "dimensions");
  std::string many = R"({"input":["a")";
  for (int i = 0; i < 2048; ++i) many += R"(,"a")";
  EXPECT_THAT(Refused(many + "]}").message, HasSubstr("at most 2048"));
}

const EmbeddingAnswer kAnswer = {
    .service = "minilm", .vectors = {{0.5f, -1.0f}, {0.1f, 3e-9f}}, .prompt_tokens = 7};

TEST(OpenAiEmbeddingResponseTest, NumbersComeBackAsTheyWere) {
  const HttpResponse response = OpenAiEmbeddingResponse(kAnswer, "minilm:latest", false, 2);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body,
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]},)"
            R"({"object":"embedding","index":1,"embedding":[0.1,3e-09]}],"model":"minilm:latest",)"
            R"("usage":{"prompt_tokens":7,"total_tokens":7}})");
  const json parsed = json::parse(response.body);
  EXPECT_EQ(parsed["data"][1]["embedding"][1].get<float>(), 3e-9f);
}

TEST(OpenAiEmbeddingResponseTest, Base64IsOfLittleEndianFloats) {
  const json parsed =
      json::parse(OpenAiEmbeddingResponse(kAnswer, "minilm:latest", true, std::nullopt).body);
  EXPECT_EQ(parsed["data"][0]["embedding"], "AAAAPwAAgL8=");
}

TEST(OpenAiEmbeddingResponseTest, OtherDimensionsAreRefused) {
  const HttpResponse response = OpenAiEmbeddingResponse(kAnswer, "minilm:latest", false, 3);
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("have 2 numbers"));
  EXPECT_THAT(response.body, HasSubstr("\"param\":\"dimensions\""));
}

class EmbeddingOperationTest : public ::testing::Test {
 protected:
  EmbeddingOperationTest()
      : shard_(router_.MakeShard([this](std::function<void()> turn) { turns_.push_back(turn); })) {}

  std::unique_ptr<EmbeddingOperation> Start() {
    return std::make_unique<EmbeddingOperation>(
        EmbeddingRequest{.inputs = {"a"}},
        EmbeddingOperation::Format{
            .answer =
                [](const EmbeddingAnswer& answer) { return HttpResponse{.body = answer.service}; },
            .error =
                [](const GenerateError& error) {
                  return HttpResponse{.status = 503, .body = error.reason};
                }},
        *shard_, writer_);
  }
  void RunTurns() {
    for (const auto& turn : std::exchange(turns_, {})) turn();
  }

  std::vector<std::function<void()>> turns_;
  FakeRouter router_;
  std::unique_ptr<RouterShard> shard_;
  RecordingWriter writer_;
};

TEST_F(EmbeddingOperationTest, AnswersOnce) {
  router_.SetEmbeddingScript(
      [](const EmbeddingRequest&, EmbeddingSink& sink) { sink.OnEmbedded(kAnswer); });
  const auto operation = Start();
  RunTurns();
  ASSERT_TRUE(writer_.response.has_value());
  EXPECT_EQ(writer_.response->body, "minilm");
}

TEST_F(EmbeddingOperationTest, TellsWhyNot) {
  router_.SetEmbeddingScript([](const EmbeddingRequest&, EmbeddingSink& sink) {
    sink.OnEmbeddingFailed({.status = absl::UnavailableError("x"), .reason = "no_ready_replica"});
  });
  const auto operation = Start();
  RunTurns();
  EXPECT_EQ(writer_.response->status, 503);
  EXPECT_EQ(writer_.response->body, "no_ready_replica");
}

TEST_F(EmbeddingOperationTest, AClientThatLeavesCancels) {
  router_.SetEmbeddingScript(
      [](const EmbeddingRequest&, EmbeddingSink& sink) { sink.OnEmbedded(kAnswer); });
  Start().reset();
  RunTurns();
  EXPECT_FALSE(writer_.response.has_value());
  EXPECT_EQ(router_.cancels(), 1);
}

}  // namespace
}  // namespace spillway
