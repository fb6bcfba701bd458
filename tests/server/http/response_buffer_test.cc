#include "server/http/response_buffer.h"

#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

// Sends all there is, `piece` bytes at a time.
std::string SendAll(ResponseBuffer& buffer, size_t piece) {
  std::string sent;
  while (!buffer.output().empty()) {
    const std::string_view next = buffer.output().substr(0, piece);
    sent += next;
    buffer.Sent(next.size());
  }
  return sent;
}

TEST(ResponseBufferTest, WholeAnswersFollowOneAnother) {
  ResponseBuffer buffer;
  buffer.SendInterim("continue|");
  buffer.SendWhole("head|", "body");
  buffer.SendWhole("|head|", "");
  EXPECT_EQ(SendAll(buffer, 3), "continue|head|body|head|");
  EXPECT_EQ(buffer.unsent_bytes(), 0u);
}

TEST(ResponseBufferTest, StreamIsChunkedAtEachFlush) {
  ResponseBuffer buffer;
  buffer.BeginStream("head\r\n", BodyFraming::kChunked);
  EXPECT_EQ(buffer.output(), "");
  buffer.Write("one ");
  buffer.Write("two");
  EXPECT_EQ(buffer.output(), "");
  buffer.Flush();
  EXPECT_EQ(SendAll(buffer, 100), "head\r\n7\r\none two\r\n");
  buffer.Flush();
  EXPECT_EQ(buffer.output(), "");
  buffer.Write("three");
  buffer.EndStream();
  EXPECT_EQ(SendAll(buffer, 100), "5\r\nthree\r\n0\r\n\r\n");
}

TEST(ResponseBufferTest, BrokenStreamLacksItsLastChunk) {
  ResponseBuffer buffer;
  buffer.BeginStream("head\r\n", BodyFraming::kChunked);
  buffer.Write("one");
  buffer.AbortStream();
  EXPECT_EQ(SendAll(buffer, 100), "head\r\n3\r\none\r\n");
}

TEST(ResponseBufferTest, StreamUntilTheEndOfTheConnectionIsNotFramed) {
  ResponseBuffer buffer;
  buffer.BeginStream("head\r\n", BodyFraming::kUntilClose);
  buffer.Write("one");
  buffer.EndStream();
  EXPECT_EQ(SendAll(buffer, 100), "head\r\none");
}

TEST(ResponseBufferTest, CountsWhatHasNotLeft) {
  ResponseBuffer buffer;
  buffer.BeginStream("head", BodyFraming::kUntilClose);
  buffer.Write("12345");
  EXPECT_EQ(buffer.unsent_bytes(), 5u);
  buffer.Flush();
  EXPECT_EQ(buffer.unsent_bytes(), 9u);
  buffer.Sent(6);
  EXPECT_EQ(buffer.output(), "345");
  EXPECT_EQ(buffer.unsent_bytes(), 3u);
  buffer.Write("6");
  EXPECT_EQ(buffer.unsent_bytes(), 4u);
  buffer.Clear();
  EXPECT_EQ(buffer.unsent_bytes(), 0u);
}

TEST(ResponseBufferTest, OutputGrowsWhileItLeaves) {
  ResponseBuffer buffer;
  buffer.BeginStream("", BodyFraming::kUntilClose);
  std::string sent;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string event = std::to_string(i) + ",";
    expected += event;
    buffer.Write(event);
    buffer.Flush();
    const std::string_view next = buffer.output().substr(0, 3);
    sent += next;
    buffer.Sent(next.size());
  }
  EXPECT_EQ(sent + SendAll(buffer, 7), expected);
}

}  // namespace
}  // namespace spillway
