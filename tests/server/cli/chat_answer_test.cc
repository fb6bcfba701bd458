#include "server/cli/chat_answer.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

std::string Delta(const std::string& fields) {
  return "data: {\"choices\":[{\"index\":0,\"delta\":{" + fields + "}}]}\n\n";
}

TEST(ChatAnswerTest, StreamedPiecesAddUp) {
  ChatAnswer answer(/*streamed=*/true);
  ChatAnswer::Piece piece;
  ASSERT_TRUE(answer
                  .Read(": keep-alive\n\n" + Delta("\"role\":\"assistant\",\"content\":\"\"") +
                            Delta("\"reasoning_content\":\"hm\"") + Delta("\"content\":\"Hel\""),
                        piece)
                  .ok());
  EXPECT_EQ(piece.reasoning, "hm");
  EXPECT_EQ(piece.content, "Hel");
  ASSERT_TRUE(answer
                  .Read(Delta("\"content\":\"lo\"") +
                            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n"
                            "data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
                        piece)
                  .ok());
  EXPECT_TRUE(answer.End(piece).ok());
  EXPECT_EQ(answer.content(), "Hello");
  EXPECT_EQ(answer.finish_reason(), "length");
}

TEST(ChatAnswerTest, HalfAStreamIsNoAnswer) {
  ChatAnswer answer(/*streamed=*/true);
  ChatAnswer::Piece piece;
  ASSERT_TRUE(answer.Read(Delta("\"content\":\"Hel\""), piece).ok());
  EXPECT_EQ(answer.End(piece).code(), absl::StatusCode::kDataLoss);
}

TEST(ChatAnswerTest, AnErrorInTheMiddleSaysWhy) {
  ChatAnswer answer(/*streamed=*/true);
  ChatAnswer::Piece piece;
  const absl::Status status = answer.Read(
      Delta("\"content\":\"Hel\"") + "data: {\"error\":{\"message\":\"gone\"}}\n\n", piece);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), "gone");
}

TEST(ChatAnswerTest, WholeAnswers) {
  ChatAnswer answer(/*streamed=*/false);
  ChatAnswer::Piece piece;
  ASSERT_TRUE(answer.Read(R"({"choices":[{"message":{"content":"Hel)", piece).ok());
  ASSERT_TRUE(answer.Read(R"(lo"},"finish_reason":"stop"}]})", piece).ok());
  ASSERT_TRUE(answer.End(piece).ok());
  EXPECT_EQ(piece.content, "Hello");
  EXPECT_EQ(answer.finish_reason(), "stop");
}

TEST(ChatAnswerTest, WhatIsNoAnswerIsShownAsItIs) {
  for (const char* text : {"<html>", "[1]", "7", ""}) {
    ChatAnswer answer(/*streamed=*/false);
    ChatAnswer::Piece piece;
    ASSERT_TRUE(answer.Read(text, piece).ok());
    EXPECT_THAT(std::string(answer.End(piece).message()), HasSubstr(text));
  }
  // Shapes that a server might make of it; none may be more than nothing.
  for (const char* text :
       {R"({"choices":7})", R"({"choices":[7]})", R"({"choices":[{"message":7}]})",
        R"({"choices":[{"message":{"content":[1]}}]})", "{}"}) {
    ChatAnswer answer(/*streamed=*/false);
    ChatAnswer::Piece piece;
    ASSERT_TRUE(answer.Read(text, piece).ok());
    EXPECT_TRUE(answer.End(piece).ok()) << text;
    EXPECT_EQ(piece.content, "");
  }
}

TEST(ErrorMessageTest, FindsTheWordsInAnyShape) {
  EXPECT_EQ(ErrorMessage(404, R"({"error":{"message":"no model"}})"), "no model (HTTP 404)");
  EXPECT_EQ(ErrorMessage(400, R"({"error":"bad"})"), "bad (HTTP 400)");
  EXPECT_EQ(ErrorMessage(400, R"({"message":"bad"})"), "bad (HTTP 400)");
  EXPECT_EQ(ErrorMessage(422, R"({"detail":"bad"})"), "bad (HTTP 422)");
  EXPECT_EQ(ErrorMessage(502, "<html>"), "<html> (HTTP 502)");
  EXPECT_EQ(ErrorMessage(503, ""), "no reason given (HTTP 503)");
}

}  // namespace
}  // namespace spillway
