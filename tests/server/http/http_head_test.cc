#include "server/http/http_head.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/id_generator.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HttpHeadTest, TargetsAreTidied) {
  struct Case {
    const char* target;
    const char* path;
    const char* query;
  };
  for (const Case& c :
       {Case{"/v1/models", "/v1/models", ""}, Case{"//v1///models/", "/v1/models/", ""},
        Case{"/v1/models?a=b?c", "/v1/models", "a=b?c"},
        Case{"http://host:1/v1/models?x", "/v1/models", "x"}, Case{"http://host", "/", ""},
        Case{"http://host?x", "/", "x"}, Case{"/go?to=http://host/x", "/go", "to=http://host/x"},
        Case{"?x=1", "/", "x=1"}, Case{"*", "*", ""}}) {
    const RequestTarget target = ParseTarget(c.target);
    EXPECT_EQ(target.path, c.path) << c.target;
    EXPECT_EQ(target.query, c.query) << c.target;
  }
}

TEST(HttpHeadTest, PercentEscapes) {
  EXPECT_EQ(PercentDecode("org%2Fmodel%3aq4"), "org/model:q4");
  EXPECT_EQ(PercentDecode("100%"), "100%");
  EXPECT_EQ(PercentDecode("%2"), "%2");
  EXPECT_EQ(PercentDecode("%zz%41"), "%zzA");
}

TEST(HttpHeadTest, RequestIdsThatMayBeRepeated) {
  EXPECT_TRUE(IsFitRequestId("req-1_2.3"));
  EXPECT_TRUE(IsFitRequestId(std::string(128, 'a')));
  EXPECT_FALSE(IsFitRequestId(std::string(129, 'a')));
  EXPECT_FALSE(IsFitRequestId(""));
  EXPECT_FALSE(IsFitRequestId("two words"));
  EXPECT_FALSE(IsFitRequestId("a\x7f"));
}

TEST(HttpHeadTest, DateIsAsTheStandardWritesIt) {
  EXPECT_EQ(FormatHttpDate(absl::FromUnixSeconds(784111777)), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(HttpHeadTest, WholeAnswer) {
  const std::string head =
      FormatHead({.content_type = "text/plain", .body_bytes = 5, .date = "D", .request_id = "r"},
                 {{"X-A", "b"}});
  EXPECT_EQ(head,
            "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
            "x-request-id: r\r\nX-A: b\r\n\r\n");
}

TEST(HttpHeadTest, HeaderValuesCannotEndTheirLine) {
  const std::string head = FormatHead({}, {{"X-A", "b\r\nX-Evil: c"}});
  EXPECT_THAT(head, HasSubstr("X-A: bX-Evil: c\r\n"));
}

TEST(HttpHeadTest, FramingAndConnection) {
  const std::string chunked = FormatHead({.framing = BodyFraming::kChunked}, {});
  EXPECT_THAT(chunked, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(chunked, Not(HasSubstr("Content-Length")));
  const std::string until_close = FormatHead(
      {.http_version = 10, .framing = BodyFraming::kUntilClose, .keep_alive = false}, {});
  EXPECT_EQ(until_close, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(FormatHead({.status = 204}, {}), Not(HasSubstr("Content-Length")));
  EXPECT_THAT(FormatHead({.any_origin = true}, {}), HasSubstr("Access-Control-Allow-Origin: *"));
}

TEST(HttpHeadTest, ChunkSizesAreHex) {
  EXPECT_EQ(FormatChunkSize(1), "1\r\n");
  EXPECT_EQ(FormatChunkSize(0x1a2b), "1a2b\r\n");
}

TEST(IdGeneratorTest, IdsDifferAndFollowFromTheSeed) {
  IdGenerator a(1);
  IdGenerator again(1);
  IdGenerator other(2);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = a.Next();
    EXPECT_EQ(id.size(), 24u);
    EXPECT_EQ(id, again.Next());
    EXPECT_TRUE(seen.insert(id).second);
    EXPECT_TRUE(seen.insert(other.Next()).second);
  }
}

}  // namespace
}  // namespace spillway
