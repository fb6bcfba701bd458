#include "router/providers/provider_call.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <type_traits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);
const absl::Time kWallNow = absl::FromUnixSeconds(784111777);  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::string_view kEvents = "text/event-stream;charset=UTF-8";
constexpr std::string_view kChunk =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
constexpr std::string_view kLast =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
constexpr std::string_view kUsage =
    "data: {\"choices\":[],\"usage\":{\"completion_tokens\":1}}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

ProviderCall::Options Streaming() {
  return {.client_model = "mine", .streams = true, .show_usage = true};
}

// A call, what it says, and the grammar that this must keep.
class Told {
 public:
  explicit Told(ProviderCall::Options options, const CallLimits& limits = {})
      : call(*FindProvider("bailian"), std::move(options), limits, kNow) {}

  void Head(int status, std::string_view type, std::string_view retry_after = "") {
    call.OnHead(status, type, retry_after, kNow, kWallNow);
  }
  Told& Bytes(std::string_view bytes) {
    call.OnBytes(bytes, kNow, events);
    return *this;
  }
  void End() { call.OnEnd(events); }

  // "began", "chunk", "answer", "finished", "failed", in order.
  std::string Words() const {
    std::string words;
    for (const CallEvent& event : events) {
      words += std::visit(
          [](const auto& said) -> std::string {
            using Said = std::decay_t<decltype(said)>;
            if constexpr (std::is_same_v<Said, CallBegan>) return "began ";
            if constexpr (std::is_same_v<Said, CallChunk>) return "chunk ";
            if constexpr (std::is_same_v<Said, CallAnswer>) return "answer ";
            if constexpr (std::is_same_v<Said, CallFinished>) return "finished ";
            return "failed ";
          },
          event);
    }
    return words;
  }
  const CallFailed& failed() const { return std::get<CallFailed>(events.back()); }
  const CallFinished& finished() const { return std::get<CallFinished>(events.back()); }

  ProviderCall call;
  CallEvents events;
};

TEST(ProviderCallTest, AStreamBeginsWithItsFirstChunkAndFinishesWithItsEnd) {
  Told told(Streaming());
  told.Head(200, kEvents);
  EXPECT_EQ(told.Words(), "");
  told.Bytes(": keep-alive\n\n").Bytes(kChunk);
  EXPECT_EQ(told.Words(), "began chunk ");
  told.Bytes(kLast).Bytes(kUsage).Bytes(kDone);
  EXPECT_EQ(told.Words(), "began chunk chunk chunk finished ");
  EXPECT_EQ(told.finished().usage->completion_tokens, 1);
  EXPECT_EQ(told.finished().text_bytes, 1);
  EXPECT_TRUE(told.call.ended());
  told.Bytes(kChunk).End();
  EXPECT_EQ(told.Words(), "began chunk chunk chunk finished ") << "nothing comes after the end";
}

TEST(ProviderCallTest, UsageIsForThoseWhoAskedForIt) {
  Told told({.client_model = "mine", .streams = true, .show_usage = false});
  told.Head(200, kEvents);
  told.Bytes(kChunk).Bytes(kLast).Bytes(kUsage).Bytes(kDone);
  EXPECT_EQ(told.Words(), "began chunk chunk finished ");
  EXPECT_TRUE(told.finished().usage.has_value());
}

TEST(ProviderCallTest, AForcedStreamIsOneAnswer) {
  Told told({.client_model = "mine", .streams = true, .assemble = true});
  told.Head(200, kEvents);
  told.Bytes(kChunk).Bytes(kLast);
  EXPECT_EQ(told.Words(), "");
  told.Bytes(kUsage).Bytes(kDone);
  EXPECT_EQ(told.Words(), "answer finished ");
  EXPECT_THAT(std::get<CallAnswer>(told.events[0]).json, HasSubstr(R"("content":"a")"));
}

TEST(ProviderCallTest, OneAnswerComesAtItsEnd) {
  Told told({.client_model = "mine"});
  told.Head(200, "application/json");
  told.Bytes(R"({"model":"x","choices":[{"finish_reason":)").Bytes(R"("length"}],"usage":{}})");
  EXPECT_EQ(told.Words(), "");
  told.End();
  EXPECT_EQ(told.Words(), "answer finished ");
  EXPECT_THAT(std::get<CallAnswer>(told.events[0]).json, HasSubstr(R"("model":"mine")"));
}

TEST(ProviderCallTest, AnErrorInsteadOfAnAnswerMayGoElsewhere) {
  Told told(Streaming());
  told.Head(429, "application/json", "7");
  told.Bytes(R"({"code":"Throttling.RateQuota","message":"m"})").End();
  EXPECT_EQ(told.Words(), "failed ");
  EXPECT_EQ(told.failed().verdict.action, ProviderAction::kBackOff);
  EXPECT_EQ(told.failed().retry_after, absl::Seconds(7));
  EXPECT_TRUE(told.failed().may_be_sent_again);
}

TEST(ProviderCallTest, WhatWouldBeTheSameAgainIsNotSentAgain) {
  for (const auto& [code, again] :
       std::vector<std::pair<std::string, bool>>{{"InvalidParameter", false},
                                                 {"DataInspectionFailed", false},
                                                 {"RequestTimeOut", false},
                                                 {"InternalError", true},
                                                 {"Arrearage", true},
                                                 {"ModelNotFound", true}}) {
    Told told(Streaming());
    told.Head(400, "application/json");
    told.Bytes("{\"code\":\"" + code + "\"}").End();
    EXPECT_EQ(told.failed().may_be_sent_again, again) << code;
  }
}

TEST(ProviderCallTest, AnErrorWithinA200) {
  constexpr std::string_view kError =
      "event:error\n:HTTP_STATUS/429\ndata:{\"code\":\"Throttling\",\"message\":\"m\"}\n\n";
  Told first(Streaming());
  first.Head(200, kEvents);
  first.Bytes(kError);
  EXPECT_EQ(first.Words(), "failed ") << "nobody was told of a 200";
  EXPECT_TRUE(first.failed().may_be_sent_again);
  Told later(Streaming());
  later.Head(200, kEvents);
  later.Bytes(std::string(kChunk) + std::string(kError));
  EXPECT_EQ(later.Words(), "began chunk failed ");
  EXPECT_FALSE(later.failed().may_be_sent_again);
  EXPECT_EQ(later.failed().text_bytes, 1);
  Told whole({.client_model = "mine"});
  whole.Head(200, "application/json");
  whole.Bytes(R"({"error":{"code":"Arrearage"}})").End();
  EXPECT_EQ(whole.failed().verdict.reason, "billing");
}

TEST(ProviderCallTest, ForcedStreamsAreNotSentAgainOnceTheyHaveBegun) {
  Told told({.client_model = "mine", .streams = true, .assemble = true});
  told.Head(200, kEvents);
  told.Bytes(kChunk);
  told.call.OnBroken(told.events);
  EXPECT_EQ(told.Words(), "failed ");
  EXPECT_FALSE(told.failed().may_be_sent_again) << "the provider has worked for it";
}

TEST(ProviderCallTest, AStreamInOnePieceIsBrokenAndAPieceInAStreamIsPutTogether) {
  Told piece(Streaming());
  piece.Head(200, "application/json");
  piece.Bytes(R"({"choices":[{"finish_reason":"stop"}]})").End();
  EXPECT_EQ(piece.failed().verdict.reason, "provider_broken");
  Told stream({.client_model = "mine"});
  stream.Head(200, "Text/Event-Stream");
  stream.Bytes(kChunk).Bytes(kLast).Bytes(kDone);
  EXPECT_EQ(stream.Words(), "answer finished ");
}

TEST(ProviderCallTest, TimeEndsIt) {
  const CallLimits limits = {.silence_max = absl::Seconds(10)};
  Told unanswered(Streaming(), limits);
  EXPECT_EQ(unanswered.call.deadline(), kNow + absl::Seconds(10));
  unanswered.call.OnTick(kNow + absl::Seconds(9), unanswered.events);
  EXPECT_EQ(unanswered.Words(), "");
  unanswered.call.OnTick(kNow + absl::Seconds(10), unanswered.events);
  EXPECT_EQ(unanswered.failed().verdict.reason, "provider_timeout");
  EXPECT_FALSE(unanswered.failed().may_be_sent_again) << "it may be at work, and charge for it";

  Told silent(Streaming(), limits);
  silent.Head(200, kEvents);
  silent.call.OnBytes(": still here\n\n", kNow + absl::Seconds(8), silent.events);
  EXPECT_EQ(silent.call.deadline(), kNow + absl::Seconds(18));

  Told whole({.client_model = "mine"}, limits);
  EXPECT_EQ(whole.call.deadline(), kNow + absl::Seconds(310));
}

TEST(ProviderCallTest, ErrorsAreReadUpToALimitAndHalvesOfThemCount) {
  Told told(Streaming(), {.error_bytes_max = 40});
  told.Head(400, "application/json");
  told.Bytes(R"({"code":"Arrearage","message":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)");
  EXPECT_EQ(told.Words(), "failed ") << "the rest isn't waited for";
  EXPECT_EQ(told.failed().verdict.action, ProviderAction::kPassOn);
  Told half(Streaming());
  half.Head(401, "application/json");
  half.call.OnBroken(half.events);
  EXPECT_EQ(half.failed().verdict.reason, "credentials");
  Told large({.client_model = "mine"}, {.whole_bytes_max = 10});
  large.Head(200, "application/json");
  large.Bytes(R"({"choices":[]})");
  EXPECT_EQ(large.failed().verdict.reason, "provider_broken");
  Told nobody(Streaming());
  nobody.call.OnBroken(nobody.events);
  EXPECT_TRUE(nobody.failed().may_be_sent_again);
}

// Every recorded stream, broken off at every byte, by a reset and by an end in good order.
TEST(ProviderCallTest, HalfAnAnswerNeverFinishes) {
  const std::string folder = SPILLWAY_SOURCE_DIR "/tests/router/providers/testdata/";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    // The line behind [DONE] is over with its first byte of two.
    const size_t whole_from = bytes.size() - (bytes.ends_with("\r\n") ? 1 : 0);
    for (const bool assemble : {false, true}) {
      for (size_t cut = 0; cut <= bytes.size(); ++cut) {
        Told told({.client_model = "mine", .streams = true, .assemble = assemble});
        told.Head(200, kEvents);
        told.Bytes(std::string_view(bytes).substr(0, cut));
        if (cut % 2 == 0) {
          told.End();
        } else {
          told.call.OnBroken(told.events);
        }
        const std::string words = told.Words();
        const bool whole = cut >= whole_from;
        ASSERT_EQ(words.ends_with("finished "), whole) << entry << " " << cut << " " << words;
        ASSERT_EQ(words.ends_with("failed "), !whole);
        if (assemble) {
          ASSERT_EQ(words, whole ? "answer finished " : "failed ");
        } else if (!whole) {
          ASSERT_EQ(told.failed().may_be_sent_again, words == "failed ") << cut;
        }
      }
    }
  }
}

TEST(RetryAfterTest, SecondsDatesAndNonsense) {
  EXPECT_EQ(ParseRetryAfter("120", kWallNow), absl::Seconds(120));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:47 GMT", kWallNow), absl::Seconds(10));
  for (const char* nothing : {"", "-5", "0", "soon", "1.5", "120 ", "99999999999999999999",
                              "Sun, 06 Nov 1994 08:49:27 GMT"}) {
    EXPECT_EQ(ParseRetryAfter(nothing, kWallNow), absl::ZeroDuration()) << nothing;
  }
}

}  // namespace
}  // namespace spillway
