// Simulation: routers, workers, the network between them and clients, on one thread, with time and
// chance that a seed decides. Real are RouterShardImpl with its flows, admission and balancing,
// UpstreamLink, and RouterSessions; trivial are the engine and the network.
//
// Faults come at every step: streams break (each end hears of it in its own time), workers die with
// and without a word, hang and go on, so do routers but for the hanging, the network slows down,
// clients leave, the wall clock jumps. What must hold:
//
//   - a text is a prefix of what its seed gives, and whole when it finishes; nothing comes twice
//   - every request ends, by its deadline or soon after the faults have stopped
//   - a resume brings exactly the tokens that there were
//   - neither end ever breaks the protocol between them
//   - at the end no worker runs or keeps anything, and no router has anything in its books
//
// A failure names its seed: run it again with --gtest_filter='*/SEED'.

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/simulation/simulated_client.h"
#include "tests/simulation/simulated_router.h"
#include "tests/simulation/simulated_worker.h"
#include "tests/simulation/virtual_time.h"

namespace spillway {
namespace {

constexpr int32_t kSeeds = 200;
constexpr absl::Duration kFaultyTime = absl::Seconds(40);
constexpr absl::Duration kQuietTime = absl::Seconds(40);  // over all waits and graces together

// How often the interesting things happened: a simulation that never gets there checks nothing.
struct Coverage {
  SimulatedWorker::Counts workers;
  int64_t requests = 0;
  int64_t finished = 0;
  int64_t left = 0;
  int64_t dead_routers = 0;
  int64_t lost_midway = 0;
  std::map<std::string, int64_t> failed;
};

class Simulation {
 public:
  Simulation(uint64_t seed, Coverage& coverage) : time_(seed), coverage_(coverage) {
    const int32_t workers = time_.Between(1, 3);
    std::vector<SimulatedWorker*> all;
    for (int32_t i = 0; i < workers; ++i) {
      workers_.push_back(
          std::make_unique<SimulatedWorker>(time_, coverage_.workers, i == 2 ? "other" : "same"));
      all.push_back(workers_.back().get());
    }
    all_workers_ = all;
    StartRouter();
    StartRouter();
    faults_end_ = time_.Now() + kFaultyTime;
  }

  void Run() {
    NextRequest();
    NextFault();
    time_.RunUntil(faults_end_ + kQuietTime);
    Check();
  }

 private:
  void NextRequest() {
    time_.After(time_.MillisecondsBetween(0, 800), [this] {
      if (time_.Now() >= faults_end_) return;
      const int32_t choices = time_.Percent(20) ? 2 : 1;
      // Those that leave would have had an answer without end: whoever computes on is found out.
      const bool leaves = time_.Percent(10);
      const int32_t tokens = leaves ? 5'000 : time_.Between(1, 60);
      clients_.push_back(std::make_unique<SimulatedClient>(time_.Draw(), tokens, choices));
      SimulatedClient& client = *clients_.back();
      RouterShard& shard = AnyRouter().shard();
      routers_of_.push_back(&shard);
      const absl::Duration timeout =
          time_.Percent(20) ? time_.MillisecondsBetween(100, 5000) : absl::InfiniteDuration();
      const RequestId id =
          shard.Submit(client.Request(static_cast<size_t>(time_.Between(0, 400)), timeout), client);
      ++coverage_.requests;
      if (leaves) {
        time_.After(time_.MillisecondsBetween(0, 2000), [this, &shard, &client, id] {
          if (client.over()) return;
          client.Leave();
          shard.Cancel(id);
          ++coverage_.left;
        });
      }
      NextRequest();
    });
  }

  void NextFault() {
    time_.After(time_.MillisecondsBetween(10, 1500), [this] {
      if (time_.Now() >= faults_end_) {
        for (const auto& worker : workers_) worker->Start();
        weather_ = {};
        return;
      }
      const auto which =
          static_cast<size_t>(time_.Between(0, static_cast<int32_t>(workers_.size()) - 1));
      SimulatedWorker& worker = *workers_[which];
      const int32_t kind = time_.Between(1, 100);
      if (kind <= 45) {
        AnyRouter().upstream(which).BreakStream(time_.Percent(70) ? absl::Milliseconds(50)
                                                                  : absl::Seconds(4));
      } else if (kind <= 70) {
        worker.Die(/*connections_reset=*/time_.Percent(80));
        time_.After(time_.MillisecondsBetween(100, 4000), [&worker] { worker.Start(); });
      } else if (kind <= 85) {
        worker.Hang(time_.MillisecondsBetween(10, time_.Percent(50) ? 500 : 15'000));
      } else if (kind <= 88) {
        KillRouter(AnyRouter());
        StartRouter();
      } else if (kind <= 90) {
        time_.JumpWall(absl::Hours(time_.Between(-5000, 5000)));
      } else {
        weather_.delay_max = time_.MillisecondsBetween(0, time_.Percent(80) ? 50 : 1500);
      }
      NextFault();
    });
  }

  void StartRouter() {
    routers_.push_back(std::make_unique<SimulatedRouter>(
        absl::StrCat("router-", routers_.size()), RouterLimits(), all_workers_, time_, weather_));
  }

  SimulatedRouter& AnyRouter() {
    std::vector<SimulatedRouter*> alive;
    for (const auto& router : routers_) {
      if (router->alive()) alive.push_back(router.get());
    }
    return *alive[static_cast<size_t>(time_.Between(0, static_cast<int32_t>(alive.size()) - 1))];
  }

  // Its clients hear nothing more: their connections were its own.
  void KillRouter(SimulatedRouter& router) {
    router.Die(/*connections_reset=*/time_.Percent(50));
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (routers_of_[i] == &router.shard() && !clients_[i]->over()) clients_[i]->Leave();
    }
    ++coverage_.dead_routers;
  }

  size_t RoutersAlive() const {
    return static_cast<size_t>(
        std::ranges::count_if(routers_, [](const auto& router) { return router->alive(); }));
  }

  void Check() {
    for (const auto& client : clients_) {
      ASSERT_EQ(client->complaint(), "");
      ASSERT_TRUE(client->over()) << "a request hangs";
      if (client->finished()) ++coverage_.finished;
      if (client->failed().has_value()) {
        ++coverage_.failed[*client->failed()];
        if (client->begun()) ++coverage_.lost_midway;
      }
    }
    ASSERT_EQ(coverage_.workers.bad_resumes, 0);
    for (const auto& worker : workers_) {
      ASSERT_EQ(worker->sequences(), 0u) << "a worker computes for nobody";
      ASSERT_EQ(worker->owned_sequences(), 0u);
      ASSERT_EQ(worker->sessions(), RoutersAlive());
    }
    for (const auto& router : routers_) {
      for (size_t i = 0; i < router->upstream_count(); ++i) {
        ASSERT_EQ(router->upstream(i).complaint(), "");
      }
      if (!router->alive()) continue;
      ASSERT_EQ(router->shard().requests_in_flight(), 0);
      for (size_t i = 0; i < router->upstream_count(); ++i) {
        ASSERT_EQ(router->upstream(i).live_count(), 0u);
        ASSERT_TRUE(router->upstream(i).status().snapshot.ready) << "it never came back";
        ASSERT_EQ(router->upstream(i).status().snapshot.unaccepted, 0);
      }
    }
  }

  VirtualTime time_;
  Coverage& coverage_;
  NetworkWeather weather_;
  std::vector<std::unique_ptr<SimulatedWorker>> workers_;
  std::vector<SimulatedWorker*> all_workers_;
  std::vector<std::unique_ptr<SimulatedRouter>> routers_;
  std::vector<std::unique_ptr<SimulatedClient>> clients_;
  std::vector<const RouterShard*> routers_of_;  // of clients_
  absl::Time faults_end_;
};

class RouterWorkerSimulation : public ::testing::TestWithParam<uint64_t> {};

TEST_P(RouterWorkerSimulation, KeepsItsPromises) {
  Coverage coverage;
  Simulation(GetParam(), coverage).Run();
}

TEST(RouterWorkerSimulationCoverage, GetsToEverythingThatItIsToCheck) {
  Coverage total;
  for (uint64_t seed = 1000; seed < 1060; ++seed) Simulation(seed, total).Run();
  std::cout << total.requests << " requests: " << total.finished << " finished, " << total.left
            << " left, " << total.lost_midway << " lost midway;";
  for (const auto& [reason, count] : total.failed) std::cout << " " << count << " " << reason;
  std::cout << "; " << total.workers.deaths << " deaths, " << total.workers.hangs << " hangs, "
            << total.dead_routers << " dead routers, " << total.workers.resumed_sessions
            << " streams picked up, " << total.workers.resumed_sequences << " answers resumed, "
            << total.workers.cancelled << " sequences cancelled\n";
  EXPECT_GT(total.finished, total.requests / 2) << "faults are no excuse";
  EXPECT_GT(total.left, 100);
  EXPECT_GT(total.dead_routers, 20);
  EXPECT_GT(total.lost_midway, 10);
  EXPECT_GT(total.workers.resumed_sessions, 100);
  EXPECT_GT(total.workers.resumed_sequences, 100);
  EXPECT_GT(total.workers.cancelled, 100);
  for (const char* reason : {"worker_lost", "no_ready_replica", "queue_full", "deadline"}) {
    EXPECT_GT(total.failed.count(reason), 0u) << reason;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RouterWorkerSimulation, ::testing::Range<uint64_t>(0, kSeeds));

}  // namespace
}  // namespace spillway
