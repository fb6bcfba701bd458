#include "common/event_stream.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Events(std::string_view bytes, size_t piece = 1u << 20) {
  EventStreamReader reader;
  std::vector<ServerSentEvent> events;
  for (size_t i = 0; i < bytes.size(); i += piece) {
    EXPECT_TRUE(reader.Read(bytes.substr(i, piece), events).ok());
  }
  std::vector<std::string> data;
  for (const ServerSentEvent& event : events) data.push_back(event.data);
  return data;
}

TEST(EventStreamTest, DataOfEachEventThatIsComplete) {
  EXPECT_THAT(Events("data: one\n\ndata:two\n\ndata: half"), ElementsAre("one", "two"));
  EXPECT_THAT(Events("data: a\ndata:  b\ndata\n\n"), ElementsAre("a\n b\n"));
}

TEST(EventStreamTest, AllElseIsSkipped) {
  EXPECT_THAT(Events(": keep-alive\n\nevent: ping\nid: 7\n\ndataset: no\n\n\n\n"), IsEmpty());
  EXPECT_THAT(Events("event: x\ndata: one\nretry: 5\n\n"), ElementsAre("one"));
}

TEST(EventStreamTest, LinesEndInAnyOfThreeWaysHoweverTheyAreCut) {
  const std::string bytes =
      "data: a\r\ndata: b\r\n\r\ndata: c\r\rdata: d\n\n: x\r\n\r\ndata: e\n\n";
  for (size_t piece = 1; piece < bytes.size(); ++piece) {
    EXPECT_THAT(Events(bytes, piece), ElementsAre("a\nb", "c", "d", "e")) << piece;
  }
}

TEST(EventStreamTest, NamesAndCommentsBelongToTheirEvent) {
  const std::string_view bytes =
      "id:1\nevent:error\n:HTTP_STATUS/429\ndata:{}\n\n:lost\n\nevent: lost\n\ndata: x\n\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    EventStreamReader reader;
    std::vector<ServerSentEvent> events;
    for (size_t i = 0; i < bytes.size(); i += piece) {
      ASSERT_TRUE(reader.Read(bytes.substr(i, piece), events).ok());
    }
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].event, "error");
    EXPECT_EQ(events[0].comment, "HTTP_STATUS/429");
    EXPECT_EQ(events[1].event + events[1].comment, "");
    EXPECT_TRUE(reader.between_events());
  }
}

TEST(EventStreamTest, TheLimitHoldsHoweverTheBytesAreCut) {
  const std::string_view bytes = "event: name\ndata: 0123456789\n\ndata: 01234567890123\n\n";
  for (const auto& [limit, fits] : {std::pair(20u, true), {19u, false}}) {
    for (size_t piece = 1; piece <= bytes.size(); ++piece) {
      EventStreamReader reader(limit);
      std::vector<ServerSentEvent> events;
      absl::Status status;
      for (size_t i = 0; i < bytes.size() && status.ok(); i += piece) {
        status = reader.Read(bytes.substr(i, piece), events);
      }
      EXPECT_EQ(status.ok(), fits) << limit << " " << piece;
      EXPECT_EQ(events.size(), fits ? 2u : 0u);
    }
  }
}

TEST(EventStreamTest, AnEventWithoutEndIsRefused) {
  EventStreamReader reader;
  std::vector<ServerSentEvent> events;
  const std::string piece(1u << 20, 'x');
  absl::Status status;
  size_t taken = 0;
  for (; status.ok() && taken <= EventStreamReader::kEventBytesMax; taken += piece.size()) {
    status = reader.Read(piece, events);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace spillway
