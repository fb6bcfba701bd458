#include "server/http/response_head.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ResponseHeadTest, DateIsAsTheStandardWritesIt) {
  EXPECT_EQ(FormatHttpDate(absl::FromUnixSeconds(784111777)), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(ResponseHeadTest, WholeAnswer) {
  const std::string head =
      FormatHead({.content_type = "text/plain", .body_bytes = 5, .date = "D", .request_id = "r"},
                 {{"X-A", "b"}});
  EXPECT_EQ(head,
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
            "x-request-id: r\r\nX-A: b\r\n\r\n");
}

TEST(ResponseHeadTest, HeaderValuesCannotEndTheirLine) {
  const std::string head = FormatHead({}, {{"X-A", "b\r\nX-Evil: c"}});
  EXPECT_THAT(head, HasSubstr("X-A: bX-Evil: c\r\n"));
}

TEST(ResponseHeadTest, FramingAndConnection) {
  const std::string chunked = FormatHead({.framing = BodyFraming::kChunked}, {});
  EXPECT_THAT(chunked, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(chunked, Not(HasSubstr("Content-Length")));
  const std::string until_close = FormatHead(
      {.http_version = 10, .framing = BodyFraming::kUntilClose, .keep_alive = false}, {});
  EXPECT_EQ(until_close, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(FormatHead({.status = 204}, {}), Not(HasSubstr("Content-Length")));
  EXPECT_THAT(FormatHead({.any_origin = true}, {}), HasSubstr("Access-Control-Allow-Origin: *"));
}

TEST(ResponseHeadTest, ChunkSizesAreHex) {
  EXPECT_EQ(FormatChunkSize(1), "1\r\n");
  EXPECT_EQ(FormatChunkSize(0x1a2b), "1a2b\r\n");
}

}  // namespace
}  // namespace spillway
