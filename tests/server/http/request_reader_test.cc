#include "server/http/request_reader.h"

#include <algorithm>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using State = RequestReader::State;

constexpr char kChunkedHead[] = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

struct Result {
  State state;
  std::string body;
  int status = 0;  // of a refusal
  size_t taken = 0;
};

// Reads `bytes` in pieces of at most `piece` bytes.
Result ReadAll(const std::string& bytes, size_t piece, const HttpLimits& limits = {},
               bool discard = false) {
  RequestReader reader(limits);
  size_t taken = 0;
  bool discarding = false;
  while (taken < bytes.size() && reader.state() != State::kComplete &&
         reader.state() != State::kRefused) {
    if (discard && !discarding && reader.state() == State::kBody) {
      discarding = true;
      reader.DiscardBody();
      continue;
    }
    taken += reader.Read(std::string_view(bytes).substr(taken, piece));
  }
  Result result = {.state = reader.state(), .body = {}, .taken = taken};
  if (reader.state() == State::kRefused) {
    result.status = reader.refusal().status;
  } else {
    result.body = reader.body();
  }
  return result;
}

// However it is cut, the same comes of it.
Result Read(const std::string& bytes, const HttpLimits& limits = {}) {
  const Result whole = ReadAll(bytes, bytes.size(), limits);
  for (const size_t piece : {1, 2, 3, 7}) {
    const Result cut = ReadAll(bytes, piece, limits);
    EXPECT_EQ(cut.state, whole.state) << bytes << piece;
    EXPECT_EQ(cut.body, whole.body) << bytes << piece;
    EXPECT_EQ(cut.status, whole.status) << bytes << piece;
    if (whole.state == State::kComplete) {
      EXPECT_EQ(cut.taken, whole.taken) << bytes << piece;
    }
  }
  return whole;
}

Result ReadChunks(const std::string& chunks, const HttpLimits& limits = {}) {
  return Read(kChunkedHead + chunks, limits);
}

TEST(RequestReaderTest, StopsBehindTheRequest) {
  const std::string request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
  const Result result = Read(request + "GET / HTTP/1.1");
  EXPECT_EQ(result.state, State::kComplete);
  EXPECT_EQ(result.body, "body");
  EXPECT_EQ(result.taken, request.size());
}

TEST(RequestReaderTest, StopsBehindTheHeadFirst) {
  const HttpLimits limits;
  RequestReader reader(limits);
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";
  EXPECT_EQ(reader.Read(head + "body"), head.size());
  EXPECT_EQ(reader.state(), State::kBody);
  EXPECT_EQ(reader.head().content_length, 4u);
}

TEST(RequestReaderTest, EmptyLinesBeforeARequestArePassedOver) {
  EXPECT_EQ(Read("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").state, State::kComplete);
  EXPECT_EQ(Read("\r\n").state, State::kEmpty);
  EXPECT_EQ(Read("\n").status, 400);
}

TEST(RequestReaderTest, BareLineFeedIsRefusedAtOnce) {
  EXPECT_EQ(Read("GET / HTTP/1.1\n").status, 400);
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: x\n").status, 400);
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: x\r\n\n").status, 400);
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: x\r\r\n\r\n").status, 400);
}

TEST(RequestReaderTest, TlsOnAPlainPortIsTold) {
  const HttpLimits limits;
  RequestReader reader(limits);
  reader.Read("\x16\x03\x01\x02");
  ASSERT_EQ(reader.state(), State::kRefused);
  EXPECT_THAT(reader.refusal().message, HasSubstr("this is TLS"));
}

TEST(RequestReaderTest, HeadTooBigThoughItsLinesNeverEnd) {
  HttpLimits limits;
  limits.head_bytes_max = 100;
  EXPECT_EQ(Read("GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(100, 'a'), limits).status, 431);
  EXPECT_EQ(Read(std::string(101, 'a'), limits).status, 431);
}

TEST(RequestReaderTest, BodyTooBigIsRefusedAtTheHead) {
  HttpLimits limits;
  limits.body_bytes_max = 10;
  const auto with_length = [](const std::string& length) {
    return "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + "\r\n\r\n";
  };
  EXPECT_EQ(Read(with_length("11"), limits).status, 413);
  EXPECT_EQ(Read(with_length("18446744073709551615"), limits).status, 413);
  EXPECT_EQ(Read(with_length("10") + "0123456789", limits).state, State::kComplete);
}

TEST(RequestReaderTest, Chunks) {
  EXPECT_EQ(ReadChunks("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n").body, "hello world");
  EXPECT_EQ(ReadChunks("0\r\n\r\n").state, State::kComplete);
  EXPECT_EQ(ReadChunks("000A\r\n0123456789\r\n00\r\n\r\n").body, "0123456789");
  EXPECT_EQ(ReadChunks("a;name=value;other=\"x y\"\r\n0123456789\r\n0;last\r\n\r\n").body,
            "0123456789");
  EXPECT_EQ(ReadChunks("1 ;a\r\nx\r\n0\r\n\r\n").body, "x");
  EXPECT_EQ(ReadChunks("1\r\n\n\r\n0\r\n\r\n").body, "\n");
  EXPECT_EQ(ReadChunks("1\r\nx\r\n0\r\nTrailer: a\r\nOther: b\r\n\r\n").body, "x");
  EXPECT_EQ(ReadChunks("1\r\nx\r\n").state, State::kBody);
}

TEST(RequestReaderTest, MalformedChunks) {
  for (const char* chunks : {"\r\n",
                             "x\r\n",
                             "-1\r\n",
                             "+1\r\nx\r\n",
                             "0x1\r\nx\r\n",
                             " 1\r\nx\r\n",
                             "1 \r\nx\r\n",
                             "1\t\r\nx\r\n",
                             "1\nx\r\n0\r\n\r\n",
                             "1\r\nx\n0\r\n\r\n",
                             "1\r\nxy\r\n0\r\n\r\n",
                             "1;a\nb\r\nx\r\n",
                             "1;a\rb\r\nx\r\n",
                             "1;\x01\r\nx\r\n",
                             "10000000000000000\r\nx\r\n",
                             "fffffffffffffffff\r\n",
                             "1, 1\r\nx\r\n",
                             "0\r\n\n",
                             "0\r\nname : value\r\n\r\n",
                             "0\r\nno colon\r\n\r\n",
                             "0\r\n folded\r\n\r\n",
                             "0\r\nA: b\n\r\n"}) {
    EXPECT_EQ(ReadChunks(chunks).status, 400) << chunks;
  }
}

TEST(RequestReaderTest, ChunksTooBig) {
  HttpLimits limits;
  limits.body_bytes_max = 10;
  EXPECT_EQ(ReadChunks("b\r\n", limits).status, 413);
  EXPECT_EQ(ReadChunks("5\r\nhello\r\n6\r\n", limits).status, 413);
  EXPECT_EQ(ReadChunks("1\r\nx\r\nffffffffffffffff\r\n", limits).status, 413);
  EXPECT_EQ(ReadChunks("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", limits).body, "helloworld");
}

TEST(RequestReaderTest, ChunkOverheadIsBounded) {
  HttpLimits limits;
  limits.chunk_line_bytes_max = 100;
  limits.chunk_overhead_bytes_max = 150;
  limits.fields_max = 3;
  const auto chunk = [](size_t extension) {
    return "1;" + std::string(extension, 'a') + "\r\nx\r\n";
  };
  EXPECT_EQ(ReadChunks(chunk(96) + "0\r\n\r\n", limits).body, "x");
  EXPECT_EQ(ReadChunks("1;" + std::string(200, 'a'), limits).status, 400);  // before its end
  EXPECT_EQ(ReadChunks(chunk(90) + chunk(90), limits).status, 400);
  EXPECT_EQ(ReadChunks(std::string(90, '0') + "1\r\nx\r\n" + std::string(90, '0') + "1\r\n", limits)
                .status,
            400);
  EXPECT_EQ(ReadChunks("0\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", limits).state, State::kComplete);
  EXPECT_EQ(ReadChunks("0\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", limits).status, 400);
  // Many small chunks without extensions are no overhead.
  std::string small;
  for (int i = 0; i < 1000; ++i) small += "1\r\nx\r\n";
  EXPECT_EQ(ReadChunks(small + "0\r\n\r\n", limits).body, std::string(1000, 'x'));
}

TEST(RequestReaderTest, DiscardedBodyLeavesNothingAndIsBounded) {
  HttpLimits limits;
  limits.refused_body_bytes_max = 10;
  const std::string chunks = std::string(kChunkedHead) + "5\r\nhello\r\n";
  const Result read_away = ReadAll(chunks + "0\r\n\r\n", 1, limits, /*discard=*/true);
  EXPECT_EQ(read_away.state, State::kComplete);
  EXPECT_EQ(read_away.body, "");
  EXPECT_EQ(ReadAll(chunks + "6\r\n", 1, limits, true).status, 413);
  const std::string fixed = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world";
  EXPECT_EQ(ReadAll(fixed, 1, limits, true).status, 413);
}

// Random requests, cut at random places, against what they were made of.
TEST(RequestReaderTest, RandomRequestsCutAnywhere) {
  const HttpLimits limits;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    std::string wire;
    std::vector<std::string> bodies;
    for (uint64_t left = 1 + random() % 4; left > 0; --left) {
      std::string body;
      for (uint64_t n = random() % 200; n > 0; --n) body += static_cast<char>(random());
      bodies.push_back(body);
      if (random() % 2 == 0) {
        wire += "PUT /" + std::to_string(left) +
                " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
        continue;
      }
      wire += kChunkedHead;
      for (size_t at = 0; at < body.size();) {
        const size_t size = std::min<size_t>(1 + random() % 40, body.size() - at);
        char line[40];
        std::snprintf(line, sizeof(line), random() % 2 == 0 ? "%zx\r\n" : "%zX;ext=1\r\n", size);
        wire += line + body.substr(at, size) + "\r\n";
        at += size;
      }
      wire += random() % 2 == 0 ? "0\r\n\r\n" : "0\r\nT: x\r\n\r\n";
    }
    size_t at = 0;
    for (const std::string& body : bodies) {
      RequestReader reader(limits);
      while (reader.state() != State::kComplete) {
        ASSERT_NE(reader.state(), State::kRefused) << "seed " << seed << reader.refusal().message;
        ASSERT_LT(at, wire.size()) << "seed " << seed;
        at += reader.Read(std::string_view(wire).substr(at, 1 + random() % 30));
      }
      EXPECT_EQ(reader.body(), body) << "seed " << seed;
    }
    EXPECT_EQ(at, wire.size()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace spillway
