#include "router/providers/answer_reader.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::string kFolder = SPILLWAY_SOURCE_DIR "/tests/router/providers/testdata/";

std::string Recorded(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> RecordedNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".sse") names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  EXPECT_GE(names.size(), 7u);
  return names;
}

// All that comes of a stream.
struct Result {
  absl::Status reading;
  absl::Status end;
  std::vector<std::string> chunks;
  std::optional<AnswerUsage> usage;
  int64_t text_bytes = 0;
  bool whole = false;
  std::string error_code;

  friend bool operator==(const Result&, const Result&) = default;
};

Result Read(std::initializer_list<std::string_view> pieces, const AnswerLimits& limits = {}) {
  AnswerStream stream("mine", limits);
  std::vector<AnswerChunk> chunks;
  Result result;
  for (const std::string_view piece : pieces) {
    result.reading = stream.Read(piece, chunks);
  }
  result.end = stream.End();
  for (const AnswerChunk& chunk : chunks) result.chunks.push_back(chunk.json);
  result.usage = stream.usage();
  result.text_bytes = stream.text_bytes();
  result.whole = stream.whole();
  if (stream.error()) result.error_code = stream.error()->code;
  return result;
}

constexpr std::string_view kFirst =
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"index\":0,\"finish_reason\":null}],"
    "\"model\":\"theirs\"}\n\n";
constexpr std::string_view kLast =
    "data: {\"choices\":[{\"delta\":{},\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

TEST(AnswerStreamTest, RecordedStreamsAreWholeHoweverTheyAreCutInTwo) {
  for (const std::string& name : RecordedNames()) {
    SCOPED_TRACE(name);
    const std::string bytes = Recorded(name);
    const Result whole = Read({bytes});
    ASSERT_TRUE(whole.whole && whole.end.ok()) << whole.end;
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      const std::string_view view = bytes;
      ASSERT_EQ(Read({view.substr(0, cut), view.substr(cut)}), whole) << cut;
    }
  }
}

TEST(AnswerStreamTest, RecordedStreamsThatBreakOffAreNeverWhole) {
  for (const std::string& name : RecordedNames()) {
    const std::string bytes = Recorded(name);
    // The last line end only says that [DONE] is complete.
    const size_t done = bytes.rfind("[DONE]") + 6;
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
      const Result broken = Read({std::string_view(bytes).substr(0, cut)});
      ASSERT_TRUE(broken.reading.ok()) << name << " " << cut;
      if (cut <= done) {
        ASSERT_EQ(broken.end.code(), absl::StatusCode::kDataLoss) << name << " " << cut;
      }
      ASSERT_EQ(broken.whole, broken.end.ok());
    }
  }
}

TEST(AnswerStreamTest, ChunksAreAsTheyCameButForTheModel) {
  const std::string bytes = Recorded("chat.sse");
  const Result result = Read({bytes});
  ASSERT_FALSE(result.chunks.empty());
  EXPECT_THAT(result.chunks[0],
              HasSubstr(R"("system_fingerprint":null,"model":"mine","id":"chatcmpl-)"));
  std::string again;
  for (std::string chunk : result.chunks) {
    chunk.replace(chunk.find("\"mine\""), 6, "\"qwen-plus\"");
    again += "data: " + chunk + "\n\n";
  }
  EXPECT_EQ(again + std::string(kDone), bytes);
}

TEST(AnswerStreamTest, TheModelIsRenamedInWhateverSpelling) {
  const Result result =
      Read({R"(data: {"mod\u0065l":"x","choices":[],"model":"y","z":{"model":"z"}})"
            "\n\n"});
  ASSERT_EQ(result.chunks.size(), 1u);
  EXPECT_EQ(result.chunks[0],
            R"({"mod\u0065l":"mine","choices":[],"model":"mine","z":{"model":"z"}})");
}

TEST(AnswerStreamTest, UsageAndText) {
  const Result thinking = Read({Recorded("thinking.sse")});
  ASSERT_TRUE(thinking.usage.has_value());
  EXPECT_EQ(thinking.usage->completion_tokens, 9);
  EXPECT_EQ(thinking.usage->reasoning_tokens, 6);
  EXPECT_GT(thinking.usage->prompt_tokens, 0);
  EXPECT_EQ(thinking.text_bytes, 59);
  EXPECT_FALSE(Read({Recorded("chat.sse")}).usage.has_value());
  AnswerStream stream("mine", {});
  std::vector<AnswerChunk> chunks;
  ASSERT_TRUE(stream.Read(Recorded("chat_usage.sse"), chunks).ok());
  EXPECT_TRUE(chunks.back().usage_only);
  EXPECT_FALSE(chunks[chunks.size() - 2].usage_only);
}

TEST(AnswerStreamTest, AnAnswerWithoutTextIsWhole) {
  const Result result = Read({Recorded("thinking_took_all.sse")});
  EXPECT_TRUE(result.whole);
  EXPECT_THAT(result.chunks[result.chunks.size() - 2], HasSubstr(R"("finish_reason":"length")"));
}

TEST(AnswerStreamTest, AnErrorWithinIsAnError) {
  for (const std::string error :
       {"data: {\"error\":{\"code\":\"X\",\"message\":\"m\"}}\n\n",
        "id:1\nevent:error\n:HTTP_STATUS/429\ndata:{\"code\":\"X\",\"message\":\"m\"}\n\n",
        "event: error\ndata: {\"error\":{\"code\":\"X\"}}\n\n",
        "data: {\"code\":\"X\",\"message\":\"m\",\"request_id\":\"r\"}\n\n",
        "data: {\"choices\":[],\"error\":{\"code\":\"X\"}}\n\n"}) {
    for (const std::string_view before : {std::string_view(), kFirst}) {
      const Result result = Read({before, error, kLast, kDone});
      EXPECT_EQ(result.reading.code(), absl::StatusCode::kUnavailable) << error;
      EXPECT_EQ(result.end.code(), absl::StatusCode::kUnavailable);
      EXPECT_EQ(result.error_code, "X");
      EXPECT_EQ(result.chunks.size(), before.empty() ? 0u : 1u);
      EXPECT_FALSE(result.whole);
    }
    EXPECT_FALSE(Read({kFirst, kLast, error, kDone}).end.ok()) << "behind a finish_reason, too";
    EXPECT_TRUE(Read({kFirst, kLast, kDone, error}).whole) << "but not behind [DONE]";
  }
  EXPECT_FALSE(Read({kFirst, "event: error\ndata: [DONE]\n\n"}).end.ok());
}

TEST(AnswerStreamTest, AChunkThatHasACodeAndAMessageIsAChunk) {
  EXPECT_TRUE(Read({kFirst, "data: {\"choices\":[],\"code\":0,\"message\":\"\",\"error\":null}\n\n",
                    kLast, kDone})
                  .whole);
}

TEST(AnswerStreamTest, TheStatusOfAFrameIsReadFromItsComment) {
  AnswerStream stream("mine", {});
  std::vector<AnswerChunk> chunks;
  EXPECT_FALSE(stream.begun());
  EXPECT_FALSE(
      stream
          .Read("event:error\n:HTTP_STATUS/403\ndata:{\"code\":\"insufficient_quota\"}\n\n", chunks)
          .ok());
  EXPECT_TRUE(stream.begun());
  EXPECT_EQ(stream.error()->http_status, 403);
}

TEST(AnswerStreamTest, WhatIsNoAnswerIsBroken) {
  for (const std::string_view wrong :
       {"data: {\"choices\":[{\"delt\n\n", "data: \n\n", "data: 7\n\n", "data: {}\n\n",
        "data: {\"choices\":{}}\n\n", "data: {\"choices\":[{\"delta\":{}}]}\n\n",
        "data: {\"choices\":[{\"index\":-1}]}\n\n", "data: {\"choices\":[{\"index\":128}]}\n\n",
        "data: {\"choices\":[{\"index\":\"0\"}]}\n\n", "data: {\"choices\":[7]}\n\n",
        "data: {\"choices\":[]} x\n\n", "data: {\"choices\":[\"\xff\"]}\n\n"}) {
    const Result result = Read({kFirst, wrong, kLast, kDone});
    EXPECT_EQ(result.reading.code(), absl::StatusCode::kDataLoss) << wrong;
    EXPECT_EQ(result.chunks.size(), 1u) << wrong;
    EXPECT_FALSE(result.whole);
  }
}

TEST(AnswerStreamTest, DoneBeforeEveryChoiceIsFinishedIsBroken) {
  EXPECT_TRUE(Read({kFirst, kLast, kDone}).whole);
  EXPECT_FALSE(Read({kFirst, kDone}).whole);
  EXPECT_FALSE(Read({kDone}).whole);
  EXPECT_FALSE(Read({kFirst, kLast}).end.ok());
  const std::string_view second = "data: {\"choices\":[{\"index\":1,\"delta\":{}}]}\n\n";
  EXPECT_FALSE(Read({kFirst, second, kLast, kDone}).whole);
  EXPECT_FALSE(
      Read({kFirst, "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"\"}]}\n\n", kDone})
          .whole);
}

TEST(AnswerStreamTest, EventsBeyondTheLimitAreBroken) {
  const Result result = Read({kFirst, kLast, kDone}, {.event_bytes_max = 60});
  EXPECT_EQ(result.reading.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(result.reading.message()), HasSubstr("60 bytes"));
}

TEST(AnswerStreamTest, AChunkIsOneLine) {
  const Result result = Read({"data: {\ndata: \"choices\":[]\ndata: }\n\n"});
  ASSERT_EQ(result.chunks.size(), 1u);
  EXPECT_EQ(result.chunks[0], "{ \"choices\":[] }");
}

TEST(WholeAnswerTest, AnswersAndEmbeddings) {
  ProviderError error;
  const auto chat = ReadWholeAnswer(
      R"({"model":"theirs","choices":[{"finish_reason":"length","index":0,"message":{"content":""}}],)"
      R"("usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}})",
      "mine", error);
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_THAT(chat->json, HasSubstr(R"({"model":"mine","choices")"));
  EXPECT_EQ(chat->usage,
            (AnswerUsage{.prompt_tokens = 3, .cached_tokens = 2, .completion_tokens = 4}));
  EXPECT_TRUE(
      ReadWholeAnswer(R"({"data":[{"embedding":[0.10]}],"model":"x"})", "mine", error).ok());
}

TEST(WholeAnswerTest, ErrorsAndHalvesOfAnswers) {
  ProviderError error;
  const auto failed = ReadWholeAnswer(R"({"code":"Throttling","message":"m"})", "mine", error);
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(error.code, "Throttling");
  for (const char* wrong :
       {"", "{", "[]", "{}", R"({"choices":[]})", R"({"choices":[{"finish_reason":null}]})",
        R"({"choices":[{"finish_reason":"stop"},{"index":1}]})", R"({"data":7})"}) {
    EXPECT_EQ(ReadWholeAnswer(wrong, "mine", error).status().code(), absl::StatusCode::kDataLoss)
        << wrong;
  }
}

}  // namespace
}  // namespace spillway
