#include "server/http/request_head.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

RequestHead Parse(const std::string& text, const HttpLimits& limits = {}) {
  static std::string kept;  // the views are into it
  kept = text;
  auto parsed = ParseRequestHead(kept, limits);
  if (auto* refusal = std::get_if<RequestRefusal>(&parsed)) {
    ADD_FAILURE() << text << refusal->status << " " << refusal->message;
    return {};
  }
  return std::get<RequestHead>(std::move(parsed));
}

// 0: taken.
int StatusOf(const std::string& text, const HttpLimits& limits = {}) {
  const auto parsed = ParseRequestHead(text, limits);
  const auto* refusal = std::get_if<RequestRefusal>(&parsed);
  return refusal == nullptr ? 0 : refusal->status;
}

std::string Get(const std::string& fields, const std::string& version = "1.1") {
  return "GET / HTTP/" + version + "\r\nHost: x\r\n" + fields + "\r\n";
}

TEST(RequestHeadTest, ReadsLineAndFields) {
  const RequestHead head = Parse(
      "POST /v1/models?a=b HTTP/1.1\r\nHost: localhost:8080\r\nX-A:  two words "
      "\t\r\nEmpty:\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/models");
  EXPECT_EQ(head.query, "a=b");
  EXPECT_EQ(head.version, 11);
  ASSERT_EQ(head.fields.size(), 3u);
  EXPECT_EQ(head.fields[1], HeaderField("X-A", "two words"));
  EXPECT_EQ(head.fields[2], HeaderField("Empty", ""));
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.chunked);
  EXPECT_EQ(head.content_length, 0u);
}

TEST(RequestHeadTest, RequestLines) {
  const auto status = [](const std::string& line) {
    return StatusOf(line + "\r\nHost: x\r\n\r\n");
  };
  EXPECT_EQ(status("GET / HTTP/1.1"), 0);
  EXPECT_EQ(status("GET / HTTP/1.7"), 0);
  EXPECT_EQ(status("OPTIONS * HTTP/1.1"), 0);
  for (const char* malformed : {"nonsense",
                                "GET /",
                                "GET  / HTTP/1.1",
                                "GET /  HTTP/1.1",
                                "GET / HTTP/1.1 ",
                                " GET / HTTP/1.1",
                                "GET\t/ HTTP/1.1",
                                "G@T / HTTP/1.1",
                                "GET /a b HTTP/1.1",
                                "GET / http/1.1",
                                "GET / HTTP/11",
                                "GET / HTTP/1.10",
                                "GET * HTTP/1.1",
                                "GET x HTTP/1.1",
                                "GET /\x80 HTTP/1.1",
                                "GET /\x01 HTTP/1.1",
                                "GET /a#b HTTP/1.1",
                                "GET ftp://x/ HTTP/1.1",
                                "GET http:/// HTTP/1.1",
                                "GET http://user@x/ HTTP/1.1",
                                ""}) {
    EXPECT_EQ(status(malformed), 400) << malformed;
  }
  EXPECT_EQ(status("PRI * HTTP/2.0"), 505);
  EXPECT_EQ(status("GET / HTTP/0.9"), 505);
  EXPECT_EQ(status("BREW / HTTP/1.1"), 501);
  EXPECT_EQ(status("get / HTTP/1.1"), 501);
  EXPECT_EQ(status("CONNECT x:443 HTTP/1.1"), 501);
  HttpLimits limits;
  limits.target_bytes_max = 10;
  EXPECT_EQ(StatusOf("GET /234567890 HTTP/1.1\r\nHost: x\r\n\r\n", limits), 0);
  EXPECT_EQ(StatusOf("GET /2345678901 HTTP/1.1\r\nHost: x\r\n\r\n", limits), 414);
}

TEST(RequestHeadTest, MalformedFields) {
  for (const char* line : {"Name : value", " Name: value", "\tfolded", "no colon", ": no name",
                           "Na me: value", "Na\x01me: value", "Name: a\rb",
                           "Name: a\x01"
                           "b",
                           "Name: a\x7f", "N\xc3\xa9: value"}) {
    EXPECT_EQ(StatusOf(Get(std::string(line) + "\r\n")), 400) << line;
    EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n" + std::string(line) + "\r\nHost: x\r\n\r\n"), 400)
        << line;
  }
  EXPECT_EQ(StatusOf(Get(std::string("Name: a\0b\r\n", 11))), 400);
  EXPECT_EQ(StatusOf(Get("Name: \xc3\xa9\tb\r\n")), 0);
}

TEST(RequestHeadTest, TooManyFields) {
  HttpLimits limits;
  limits.fields_max = 3;
  EXPECT_EQ(StatusOf(Get("A: 1\r\nA: 2\r\n"), limits), 0);
  EXPECT_EQ(StatusOf(Get("A: 1\r\nA: 2\r\nA: 3\r\n"), limits), 431);
}

TEST(RequestHeadTest, ExactlyOneHost) {
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(StatusOf(Get("Host: x\r\n")), 400);
  EXPECT_EQ(StatusOf(Get("hOST: y\r\n", "1.0")), 400);
  for (const char* host : {"a b", "a/b", "user@a", "a\tb", "a?b", "a\"b"}) {
    EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"), 400) << host;
  }
  for (const char* host : {"", "a.b-c:80", "[::1]:80", "a_b"}) {
    EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"), 0) << host;
  }
}

TEST(RequestHeadTest, AbsoluteTargetReplacesHost) {
  const RequestHead head =
      Parse("GET http://evil.example:1/v1?q HTTP/1.1\r\nA: b\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(head.path, "/v1");
  EXPECT_EQ(head.query, "q");
  EXPECT_EQ(head.fields[1], HeaderField("Host", "evil.example:1"));
  const RequestHead old = Parse("GET http://evil.example/ HTTP/1.0\r\n\r\n");
  ASSERT_EQ(old.fields.size(), 1u);
  EXPECT_EQ(old.fields[0], HeaderField("Host", "evil.example"));
}

TEST(RequestHeadTest, ContentLength) {
  EXPECT_EQ(Parse(Get("Content-Length: 0012\r\n")).content_length, 12u);
  EXPECT_EQ(Parse(Get("Content-Length: 18446744073709551615\r\n")).content_length,
            18446744073709551615u);
  for (const char* value : {"", "-1", "+1", "0x10", "1 2", "1,1", "1, 1", "1.0", "12a", "1;a",
                            "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_EQ(StatusOf(Get("Content-Length: " + std::string(value) + "\r\n")), 400) << value;
  }
  EXPECT_EQ(StatusOf(Get("Content-Length: 1\r\nContent-Length: 1\r\n")), 400);
  EXPECT_EQ(StatusOf(Get("Content-Length: 1\r\ncontent-length: 2\r\n")), 400);
}

TEST(RequestHeadTest, TransferEncoding) {
  const auto status = [](const std::string& value) {
    return StatusOf(Get("Transfer-Encoding: " + value + "\r\n"));
  };
  EXPECT_TRUE(Parse(Get("Transfer-Encoding: chunked\r\n")).chunked);
  EXPECT_TRUE(Parse(Get("transfer-encoding:\tChunKed \r\n")).chunked);
  EXPECT_EQ(status("gzip"), 501);
  EXPECT_EQ(status("gzip, chunked"), 501);
  EXPECT_EQ(status("identity"), 501);
  EXPECT_EQ(status("xchunked"), 501);
  EXPECT_EQ(status("chunked;q=1"), 501);
  EXPECT_EQ(status("\"chunked\""), 501);
  EXPECT_EQ(status(""), 501);
  EXPECT_EQ(status("chunked, gzip"), 400);
  EXPECT_EQ(status("chunked, chunked"), 400);
  EXPECT_EQ(status("chunked,"), 400);
  EXPECT_EQ(status("\x0b"
                   "chunked"),
            400);
  EXPECT_EQ(status("chunked\r\nTransfer-Encoding: chunked"), 400);
  EXPECT_EQ(status("chunked\r\nTransfer-Encoding: identity"), 400);
  EXPECT_EQ(status("chunked\r\nContent-Length: 1"), 400);
  EXPECT_EQ(StatusOf(Get("Content-Length: 0\r\nTransfer-Encoding: gzip\r\n")), 400);
  EXPECT_EQ(StatusOf(Get("Transfer-Encoding: chunked\r\n", "1.0")), 400);
}

TEST(RequestHeadTest, KeepAlive) {
  EXPECT_TRUE(Parse(Get("Connection: upgrade \r\n")).keep_alive);
  EXPECT_FALSE(Parse(Get("Connection: keep-alive, CLOSE\r\n")).keep_alive);
  EXPECT_FALSE(Parse(Get("Connection: x\r\nConnection: close\r\n")).keep_alive);
  EXPECT_TRUE(Parse(Get("Connection: closed\r\n")).keep_alive);
  EXPECT_FALSE(Parse(Get("", "1.0")).keep_alive);
  EXPECT_TRUE(Parse(Get("Connection: Keep-Alive\r\n", "1.0")).keep_alive);
}

TEST(RequestHeadTest, Expectations) {
  EXPECT_TRUE(Parse(Get("Content-Length: 1\r\nExpect: 100-Continue\r\n")).expects_continue);
  EXPECT_TRUE(
      Parse(Get("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")).expects_continue);
  EXPECT_FALSE(Parse(Get("Expect: 100-continue\r\n")).expects_continue);
  EXPECT_FALSE(Parse(Get("Content-Length: 1\r\nExpect: 100-continue\r\n", "1.0")).expects_continue);
  EXPECT_EQ(StatusOf(Get("Expect: magic\r\n")), 417);
  EXPECT_EQ(StatusOf(Get("Expect: 100-continue, magic\r\n")), 417);
}

TEST(RequestHeadTest, UpgradesAreNotTaken) {
  EXPECT_TRUE(Parse(Get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"))
                  .keep_alive);
}

TEST(RequestHeadTest, RefusalsSayWhatIsWrong) {
  const auto parsed = ParseRequestHead(Get("A: b\r\nName : value\r\n"), {});
  EXPECT_THAT(std::get<RequestRefusal>(parsed).message, HasSubstr("header line 3 is malformed"));
}

TEST(RequestHeadTest, TargetsAreTidied) {
  struct Case {
    const char* target;
    const char* path;
    const char* query;
    const char* authority;
  };
  for (const Case& c :
       {Case{"/v1/models", "/v1/models", "", ""}, Case{"//v1///models/", "/v1/models/", "", ""},
        Case{"/v1/models?a=b?c", "/v1/models", "a=b?c", ""},
        Case{"HTTP://host:1//v1/models?x", "/v1/models", "x", "host:1"},
        Case{"https://host", "/", "", "host"}, Case{"http://host?x", "/", "x", "host"},
        Case{"/go?to=http://host/x", "/go", "to=http://host/x", ""}, Case{"*", "*", "", ""}}) {
    const std::optional<RequestTarget> target = ParseTarget(c.target);
    ASSERT_TRUE(target.has_value()) << c.target;
    EXPECT_EQ(target->path, c.path) << c.target;
    EXPECT_EQ(target->query, c.query) << c.target;
    EXPECT_EQ(target->authority, c.authority) << c.target;
  }
  EXPECT_FALSE(ParseTarget("").has_value());
  EXPECT_FALSE(ParseTarget("?x=1").has_value());
  EXPECT_FALSE(ParseTarget("http://").has_value());
}

TEST(RequestHeadTest, PercentEscapes) {
  EXPECT_EQ(PercentDecode("org%2Fmodel%3aq4"), "org/model:q4");
  EXPECT_EQ(PercentDecode("100%"), "100%");
  EXPECT_EQ(PercentDecode("%2"), "%2");
  EXPECT_EQ(PercentDecode("%zz%41"), "%zzA");
}

TEST(RequestHeadTest, RequestIdsThatMayBeRepeated) {
  EXPECT_TRUE(IsFitRequestId("req-1_2.3"));
  EXPECT_TRUE(IsFitRequestId(std::string(128, 'a')));
  EXPECT_FALSE(IsFitRequestId(std::string(129, 'a')));
  EXPECT_FALSE(IsFitRequestId(""));
  EXPECT_FALSE(IsFitRequestId("two words"));
  EXPECT_FALSE(IsFitRequestId("a\x7f"));
}

}  // namespace
}  // namespace spillway
