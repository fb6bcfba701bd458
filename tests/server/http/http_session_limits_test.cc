#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/http_session.h"
#include "tests/support/session_client.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using End = HttpSession::End;
using Thread = SessionTestThread;
using Client = SessionClient;

TEST(HttpSessionLimitsTest, ReadAheadIsBounded) {
  HttpLimits limits;
  limits.read_ahead_bytes_max = 100;
  Thread thread(limits);
  Client client(thread);
  client.Send(Get("/hold"));
  EXPECT_TRUE(client.session().wants_input());
  client.Send(Post("/echo", std::string(100, 'a')));
  EXPECT_FALSE(client.session().wants_input());
  thread.handler.writer->Send({.headers = {}, .body = ""});
  EXPECT_EQ(client.Statuses(), "200 200");
  EXPECT_TRUE(client.session().wants_input());
}

TEST(HttpSessionLimitsTest, IdleTimeCountsFromTheLastAnswer) {
  Thread thread;
  Client client(thread);
  client.Wait(absl::Seconds(74));
  client.Send(Get("/echo"));
  client.Wait(absl::Seconds(74));
  EXPECT_TRUE(client.open());
  client.Wait(absl::Seconds(2));
  EXPECT_EQ(client.end(), End::kClose);
}

TEST(HttpSessionLimitsTest, SlowLorisIsToldAndClosed) {
  Thread thread;
  Client client(thread);
  client.Send("GET / HT");
  for (int i = 0; i < 14; ++i) {
    client.Send("T");
    client.Wait(absl::Seconds(1));
  }
  EXPECT_EQ(client.Received(), "");
  client.Wait(absl::Seconds(1));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 408"));
  EXPECT_TRUE(client.session().send_ended());
  client.Wait(absl::Seconds(2));
  EXPECT_EQ(client.end(), End::kClose);
}

TEST(HttpSessionLimitsTest, BodyMayBeSlowButNotStandStill) {
  Thread thread;
  Client client(thread);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    client.Send(std::string(40'000, 'a'));
    client.Wait(absl::Seconds(9));
  }
  EXPECT_TRUE(client.open());
  EXPECT_EQ(client.Received(), "");
  client.Wait(absl::Seconds(30));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 408"));
}

TEST(HttpSessionLimitsTest, BodyThatDripsIsTooSlow) {
  Thread thread;
  Client client(thread);
  client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 29; ++i) {
    client.Send("1\r\na\r\n");
    client.Wait(absl::Seconds(1));
  }
  EXPECT_EQ(client.Received(), "");
  client.Wait(absl::Seconds(2));
  EXPECT_THAT(client.Received(), StartsWith("HTTP/1.1 408"));
}

TEST(HttpSessionLimitsTest, StrangersWithBigOrEndlessBodiesAreClosed) {
  Thread thread;
  Client big(thread);
  big.Send("POST /stranger HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
  const std::string refusal = big.Received();
  EXPECT_THAT(refusal, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(refusal, HasSubstr("Connection: close\r\n"));
  EXPECT_TRUE(big.session().send_ended());
  Client endless(thread);
  endless.Send("POST /stranger HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 7; ++i) endless.Send("2710\r\n" + std::string(10'000, 'a') + "\r\n");
  EXPECT_THAT(endless.Received(), StartsWith("HTTP/1.1 401"));
  EXPECT_TRUE(endless.session().send_ended());
  Client slow(thread);
  slow.Send("POST /stranger HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
  slow.Wait(absl::Seconds(30));
  EXPECT_THAT(slow.Received(), StartsWith("HTTP/1.1 401"));
  EXPECT_TRUE(slow.session().send_ended());
}

TEST(HttpSessionLimitsTest, SlowReaderIsCutByItsUnsentBytes) {
  HttpLimits limits;
  limits.unsent_bytes_max = 10'000;
  Thread thread(limits);
  Client client(thread);
  client.Send(Get("/hold"));
  client.reads = false;
  thread.handler.writer->BeginStream("text/event-stream", {});
  for (int i = 0; i < 9; ++i) {
    thread.handler.writer->Write(std::string(1000, 'x'));
    thread.handler.writer->Flush();
  }
  client.Turn();
  EXPECT_TRUE(client.open());
  thread.handler.writer->Write(std::string(1000, 'x'));
  EXPECT_EQ(thread.handler.running, 1);  // it may be the caller
  client.Turn();
  EXPECT_EQ(client.end(), End::kReset);
  EXPECT_EQ(thread.handler.running, 0);
  EXPECT_EQ(thread.state.unsent_bytes, 0);
  EXPECT_THAT(thread.metrics.Scrape(),
              HasSubstr("spillway_http_clients_cut_total{reason=\"unsent_bytes\"} 1"));
}

TEST(HttpSessionLimitsTest, ManySlowReadersShareOneLimit) {
  HttpLimits limits;
  limits.unsent_bytes_total_max = 100'000;
  limits.fair_bytes = 20'000;
  Thread thread(limits);
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<ResponseWriter*> writers;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<Client>(thread));
    clients.back()->Send(Get("/hold"));
    clients.back()->reads = false;
    writers.push_back(thread.handler.writer);
    writers.back()->BeginStream("text/event-stream", {});
  }
  int cut = 0;
  for (int round = 0; round < 40; ++round) {
    for (size_t i = 0; i < clients.size(); ++i) {
      if (!clients[i]->open()) continue;
      // The first reads little enough to stay below its fair share.
      if (i > 0 || round < 15) writers[i]->Write(std::string(1000, 'x'));
      writers[i]->Flush();
      clients[i]->Turn();
      if (!clients[i]->open()) ++cut;
    }
  }
  EXPECT_LE(thread.state.unsent_bytes, 110'000);
  EXPECT_GT(cut, 3);
  EXPECT_TRUE(clients[0]->open());
}

TEST(HttpSessionLimitsTest, ReaderThatStandsStillIsCut) {
  Thread thread;
  Client client(thread);
  client.Send(Get("/hold"));
  client.reads = false;
  thread.handler.writer->BeginStream("text/event-stream", {});
  thread.handler.writer->Write("event");
  thread.handler.writer->Flush();
  client.Wait(absl::Seconds(20));
  thread.handler.writer->Write("event");
  thread.handler.writer->Flush();
  client.Wait(absl::Seconds(9));
  EXPECT_TRUE(client.open());
  client.Wait(absl::Seconds(1));
  EXPECT_EQ(client.end(), End::kReset);
  EXPECT_THAT(thread.metrics.Scrape(),
              HasSubstr("spillway_http_clients_cut_total{reason=\"slow\"} 1"));
}

TEST(HttpSessionLimitsTest, SlowLineIsFine) {
  Thread thread;
  Client client(thread);
  client.reads = false;
  client.Send(Post("/echo", std::string(200'000, 'x')));
  HttpSession& session = client.session();
  while (client.open() && !session.output().empty()) {
    session.Sent(std::min<size_t>(session.output().size(), 20'000));
    client.Wait(absl::Seconds(15));
  }
  EXPECT_TRUE(client.open());
}

TEST(HttpSessionLimitsTest, BodiesOfAllClientsShareOneLimit) {
  HttpLimits limits;
  limits.input_bytes_total_max = 1 << 20;
  Thread thread(limits);
  std::vector<std::unique_ptr<Client>> clients;
  const std::string half = Post("/echo", std::string(400'000, 'a')).substr(0, 300'000);
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(thread));
    for (size_t at = 0; at < half.size(); at += 10'000)
      clients.back()->Send(half.substr(at, 10'000));
  }
  EXPECT_EQ(clients[0]->Statuses(), "");
  const std::string refusal = clients[4]->Received();
  EXPECT_THAT(refusal, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(refusal, HasSubstr("Retry-After: 1\r\n"));
  // Small requests go on.
  Client small(thread);
  small.Send(Post("/echo", std::string(1000, 'a')));
  EXPECT_EQ(small.Statuses(), "200");
  clients.clear();
  EXPECT_EQ(thread.state.input_bytes, 0);
}

TEST(HttpSessionLimitsTest, OldestWaitingConnectionIsFirstToGo) {
  Thread thread;
  Client first(thread);
  Client second(thread);
  Client busy(thread);
  busy.Send(Get("/hold"));
  Client loris(thread);
  loris.Send("GET /");
  EXPECT_EQ(thread.state.waiting.size(), 3u);
  first.Send(Get("/echo"));  // waits again, but less long than the others
  thread.state.waiting.front()->Cut();
  EXPECT_FALSE(second.open());
  thread.state.waiting.front()->Cut();
  EXPECT_FALSE(loris.open());
  thread.state.waiting.front()->Cut();
  EXPECT_FALSE(first.open());
  EXPECT_TRUE(thread.state.waiting.empty());
  EXPECT_TRUE(busy.open());
}

TEST(HttpSessionLimitsTest, SimulatedClients) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    HttpLimits limits;
    limits.unsent_bytes_max = 20'000;
    Thread thread(limits);
    {
      std::vector<std::unique_ptr<Client>> clients;
      std::vector<int> asked;
      std::vector<int> answered;
      for (int i = 0; i < 8; ++i) clients.push_back(std::make_unique<Client>(thread));
      asked.resize(clients.size());
      answered.resize(clients.size());
      for (int step = 0; step < 200; ++step) {
        const size_t i = random() % clients.size();
        Client& client = *clients[i];
        const bool good = i < 4;  // whole requests, reads at once
        const std::string request = Post("/echo", std::string(random() % 3000, 'b'));
        switch (random() % 6) {
          case 0:
          case 1:
            client.Send(good ? request : request.substr(0, random() % request.size()));
            asked[i] += good && client.open();
            break;
          case 2:
            if (!good) client.reads = random() % 2 == 0;
            client.Turn();
            break;
          case 3:
            if (!good) client.Send(std::string(random() % 100, static_cast<char>(random())));
            break;
          case 4:
            if (!good && random() % 4 == 0) client.HangUp();
            break;
          default:
            thread.clock.Advance(absl::Milliseconds(random() % 200));
            for (auto& each : clients) each->Turn();
        }
        if (good) {
          const std::string statuses = client.Statuses();
          EXPECT_EQ(statuses.find_first_not_of("20 "), std::string::npos) << "seed " << seed;
          answered[i] += static_cast<int>((statuses.size() + 1) / 4);
          EXPECT_EQ(answered[i], asked[i]) << "seed " << seed;
        }
      }
    }
    EXPECT_EQ(thread.state.input_bytes, 0) << "seed " << seed;
    EXPECT_EQ(thread.state.unsent_bytes, 0) << "seed " << seed;
    EXPECT_TRUE(thread.state.waiting.empty()) << "seed " << seed;
    EXPECT_EQ(thread.handler.running, 0) << "seed " << seed;
  }
}

}  // namespace
}  // namespace spillway
