#include "server/http/http_session.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/session_client.h"

namespace spillway {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using End = HttpSession::End;
using Thread = SessionTestThread;
using Client = SessionClient;

TEST(HttpSessionTest, AnswersOneRequestAfterTheOther) {
  Thread thread;
  Client client(thread);
  client.Send(Post("/echo", "one") + Get("/hold") + Post("/echo", "three"));
  EXPECT_THAT(client.Received(), EndsWith("\r\n\r\none"));
  EXPECT_EQ(thread.handler.bodies.size(), 2u);
  thread.handler.writer->Send({.headers = {}, .body = "two"});
  const std::string rest = client.Received();
  EXPECT_THAT(rest, HasSubstr("\r\n\r\ntwoHTTP/1.1 200"));
  EXPECT_THAT(rest, EndsWith("\r\n\r\nthree"));
  EXPECT_TRUE(client.open());
}

TEST(HttpSessionTest, AnAnswerMayEndTheConnection) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  thread.handler.writer->Send({.status = 450, .headers = {}, .body = "full", .close = true});
  const std::string all = client.Received();
  EXPECT_THAT(all, StartsWith("HTTP/1.1 450 Instance Queue Full\r\n"));
  EXPECT_THAT(all, HasSubstr("Connection: close\r\n"));
  EXPECT_FALSE(client.open());
}

TEST(HttpSessionTest, NextRequestIsHandledOnlyWhenTheAnswerHasLeft) {
  Thread thread;
  Client client(thread);
  client.reads = false;
  client.Send(Post("/echo", "one") + Post("/echo", "two"));
  EXPECT_EQ(thread.handler.bodies.size(), 1u);
  client.reads = true;
  EXPECT_EQ(client.Statuses(), "200 200");
}

TEST(HttpSessionTest, StrangersAreRefusedBeforeTheirBodyIsKept) {
  Thread thread;
  Client client(thread);
  const std::string body(60'000, 'a');
  client.Send(Post("/stranger", body).substr(0, 30'000));
  EXPECT_LT(thread.state.input_bytes, 1000);
  client.Send(Post("/stranger", body).substr(30'000) + Post("/echo", "mine"));
  const std::string all = client.Received();
  EXPECT_THAT(all, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(all, Not(HasSubstr("Connection: close")));
  EXPECT_THAT(all, EndsWith("\r\n\r\nmine"));
  EXPECT_EQ(thread.handler.bodies.size(), 1u);
}

TEST(HttpSessionTest, ContinueIsSaidOnlyToWhoIsAdmitted) {
  Thread thread;
  const std::string expect = "Expect: 100-continue\r\nContent-Length: 4\r\n";
  Client client(thread);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\n" + expect + "\r\n");
  EXPECT_EQ(client.Received(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_THAT(client.Received(), EndsWith("\r\n\r\nbody"));
  Client stranger(thread);
  stranger.Send("POST /stranger HTTP/1.1\r\nHost: x\r\n" + expect + "\r\n");
  const std::string refusal = stranger.Received();
  EXPECT_THAT(refusal, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(refusal, HasSubstr("Connection: close\r\n"));
  Client big(thread);
  big.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_THAT(big.Received(), StartsWith("HTTP/1.1 413"));
}

TEST(HttpSessionTest, AfterARefusalInputIsDroppedUntilTheClientHasReadIt) {
  Thread thread;
  Client client(thread);
  client.Send("nonsense\r\n\r\n");
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 400"));
  EXPECT_TRUE(client.session().send_ended());
  client.Send(std::string(100'000, 'a'));
  EXPECT_LT(thread.state.input_bytes, 1000);
  client.HangUp();
  EXPECT_EQ(client.end(), End::kClose);
}

TEST(HttpSessionTest, ClientThatHangsUpEndsItsOperation) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  EXPECT_EQ(thread.handler.running, 1);
  client.HangUp();
  EXPECT_EQ(thread.handler.running, 0);
  EXPECT_EQ(client.end(), End::kClose);
  EXPECT_THAT(thread.metrics.Scrape(), HasSubstr("spillway_http_clients_gone_total 1"));
  EXPECT_THAT(thread.metrics.Scrape(),
              HasSubstr("spillway_http_requests_total{route=\"route\",status=\"499\"} 1"));
}

TEST(HttpSessionTest, ClientThatClosedItsSideStillGetsWhatIsDone) {
  Thread thread;
  Client client(thread);
  client.reads = false;
  client.Send(Post("/echo", "one") + Post("/echo", "two"));
  client.HangUp();
  client.reads = true;
  EXPECT_EQ(client.Statuses(), "200 200");
  EXPECT_EQ(client.end(), End::kClose);
}

TEST(HttpSessionTest, StreamsAndBreaks) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  thread.handler.writer->BeginStream("text/event-stream", {{"Cache-Control", "no-cache"}});
  thread.handler.writer->Write("one");
  EXPECT_EQ(client.Received(), "");
  thread.handler.writer->Flush();
  EXPECT_THAT(client.Received(), EndsWith("Cache-Control: no-cache\r\n\r\n3\r\none\r\n"));
  // Without another byte to send.
  thread.handler.writer->AbortStream();
  EXPECT_EQ(client.Received(), "");
  EXPECT_EQ(client.end(), End::kClose);
  EXPECT_EQ(thread.handler.running, 0);
}

TEST(HttpSessionTest, BrokenStreamToHttp10IsReset) {
  Thread thread;
  Client client(thread);
  client.Send("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  thread.handler.writer->BeginStream("text/event-stream", {});
  thread.handler.writer->Write("one");
  thread.handler.writer->AbortStream();
  EXPECT_THAT(client.Received(), EndsWith("\r\n\r\none"));
  EXPECT_EQ(client.end(), End::kReset);
}

TEST(HttpSessionTest, WholeStreamToHttp10EndsInGoodOrder) {
  Thread thread;
  Client client(thread);
  client.Send("GET /hold HTTP/1.0\r\n\r\n");
  thread.handler.writer->BeginStream("text/event-stream", {});
  thread.handler.writer->EndStream();
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.0 200 OK\r\n"));
  EXPECT_EQ(client.end(), End::kClose);
}

TEST(HttpSessionTest, OperationIsWokenWhenItAsked) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  thread.handler.writer->WakeAfter(absl::Seconds(10));
  thread.handler.writer->WakeAfter(absl::Seconds(5));
  client.Wait(absl::Seconds(4));
  EXPECT_EQ(thread.handler.wakes, 0);
  client.Wait(absl::Seconds(1));
  EXPECT_EQ(thread.handler.wakes, 1);
  client.Wait(absl::Seconds(100));
  EXPECT_EQ(thread.handler.wakes, 1);
}

TEST(HttpSessionTest, WallClockMayJump) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  thread.handler.writer->WakeAfter(absl::Seconds(5));
  thread.clock.JumpWall(absl::Hours(24));
  client.Turn();
  EXPECT_EQ(thread.handler.wakes, 0);
  thread.clock.JumpWall(-absl::Hours(48));
  client.Wait(absl::Seconds(5));
  EXPECT_EQ(thread.handler.wakes, 1);
}

TEST(HttpSessionTest, DrainingEndsIdleOnesAndLetsAnswersEnd) {
  Thread thread;
  Client idle(thread);
  Client half(thread);
  half.Send("GET /echo HT");
  Client busy(thread);
  busy.Send(Get("/hold"));
  thread.state.draining = true;
  for (Client* client : {&idle, &half, &busy}) client->Drain();
  EXPECT_FALSE(idle.open());
  half.Send("TP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(half.Received(), HasSubstr("Connection: close\r\n"));
  EXPECT_FALSE(half.open());
  thread.handler.writer->Send({.headers = {}, .body = "last"});
  EXPECT_THAT(busy.Received(), HasSubstr("Connection: close\r\n"));
  EXPECT_FALSE(busy.open());
}

TEST(HttpSessionTest, StreamThatBeganBeforeTheDrainEndsTheConnection) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  thread.handler.writer->BeginStream("text/event-stream", {});
  thread.handler.writer->Flush();
  EXPECT_THAT(client.Received(), Not(HasSubstr("Connection: close")));
  thread.state.draining = true;
  client.Drain();
  EXPECT_TRUE(client.open());
  thread.handler.writer->EndStream();
  EXPECT_EQ(client.Received(), "0\r\n\r\n");
  EXPECT_FALSE(client.open());
}

TEST(HttpSessionTest, AddressBehindATrustedProxy) {
  Thread thread({}, {IpNetwork::Parse("127.0.0.0/8").value()});
  Client client(thread);
  client.Send(Get("/echo", "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 1.2.3.4\r\n"));
  EXPECT_EQ(thread.handler.client_address, "1.2.3.4");
  Thread wary;
  Client stranger(wary);
  stranger.Send(Get("/echo", "X-Forwarded-For: 1.2.3.4\r\n"));
  EXPECT_EQ(wary.handler.client_address, "127.0.0.1");
}

TEST(HttpSessionTest, HeadHasTheLengthAndNoBody) {
  Thread thread;
  Client client(thread);
  client.Send("HEAD /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody" + Get("/echo"));
  const std::string all = client.Received();
  EXPECT_THAT(all, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_THAT(all, Not(HasSubstr("body")));
  EXPECT_THAT(all, HasSubstr("\r\n\r\nHTTP/1.1 200"));
}

// Clients of all sorts in virtual time: good ones are always answered in order, nobody's memory is
// left behind, and no operation outlives its connection.

}  // namespace
}  // namespace spillway
