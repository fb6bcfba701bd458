#include "server/http/response_reader.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

struct Answer {
  absl::Status status;
  int http_status = 0;
  std::string body;
  bool done = false;
  absl::Status end;
};

Answer Read(std::string_view bytes, size_t piece = 1u << 20) {
  static const HttpLimits limits = {.head_bytes_max = 200, .body_bytes_max = 50};
  ResponseReader reader(limits);
  Answer answer;
  for (size_t i = 0; i < bytes.size() && answer.status.ok(); i += piece) {
    answer.status = reader.Read(bytes.substr(i, piece), answer.body);
  }
  answer.http_status = reader.status();
  answer.done = reader.done();
  answer.end = reader.End();
  return answer;
}

TEST(ResponseReaderTest, TheThreeWaysThatABodyEnds) {
  const Answer length = Read("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello, rest");
  EXPECT_EQ(length.http_status, 404);
  EXPECT_EQ(length.body, "hello");
  EXPECT_TRUE(length.done && length.end.ok());
  const Answer chunked = Read(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.body, "abcde");
  EXPECT_TRUE(chunked.done && chunked.end.ok());
  const Answer closed = Read("HTTP/1.0 200\r\n\r\nhello");
  EXPECT_EQ(closed.body, "hello");
  EXPECT_FALSE(closed.done);
  EXPECT_TRUE(closed.end.ok());
  EXPECT_TRUE(Read("HTTP/1.1 204 No Content\r\n\r\n").done);
}

TEST(ResponseReaderTest, HoweverItIsCut) {
  const std::string bytes =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Answer answer = Read(bytes, piece);
    EXPECT_TRUE(answer.status.ok() && answer.done) << piece;
    EXPECT_EQ(answer.http_status, 200);
    EXPECT_EQ(answer.body, "abcde") << piece;
  }
}

TEST(ResponseReaderTest, HalfAnAnswerIsNone) {
  for (const char* half :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n"}) {
    const Answer answer = Read(half);
    EXPECT_TRUE(answer.status.ok()) << half;
    EXPECT_EQ(answer.end.code(), absl::StatusCode::kDataLoss) << half;
  }
}

bool Reusable(std::string_view bytes) {
  static const HttpLimits limits;
  ResponseReader reader(limits);
  std::string body;
  EXPECT_TRUE(reader.Read(bytes, body).ok()) << bytes;
  return reader.connection_is_reusable();
}

TEST(ResponseReaderTest, WhenItsConnectionMayBeUsedAgain) {
  EXPECT_TRUE(Reusable("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
  EXPECT_TRUE(Reusable("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi"));
  EXPECT_FALSE(Reusable("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
  EXPECT_FALSE(Reusable("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi"));
  EXPECT_FALSE(Reusable("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"));
  EXPECT_FALSE(Reusable("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!"));
  EXPECT_FALSE(Reusable("HTTP/1.1 200 OK\r\n\r\nhi"));
}

TEST(ResponseReaderTest, WhatIsNoHttpIsRefused) {
  for (const std::string& bytes :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("HTTP/2 200\r\n\r\n"),
        std::string("HTTP/1.1 99 x\r\n\r\n"), std::string("HTTP/1.1 2000\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
        "HTTP/1.1 200 OK\r\n\r\n" + std::string(51, 'x'), std::string(300, 'x')}) {
    const Answer answer = Read(bytes);
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kInvalidArgument) << bytes;
    EXPECT_THAT(std::string(answer.status.message()), HasSubstr("is not HTTP"));
  }
}

}  // namespace
}  // namespace spillway
