// Simulation: random traffic against the real Scheduler and a worker that is only a memory.
//
// Each seed draws its own limits, arrivals, priorities, shared prefixes, chats that go on, stops,
// cancellations (also with the id used again at once), deadlines, cache resets and pipelining
// depth; every other seed has steps that take time, and a target for it. RecordingWorker checks
// every read of the KV; Simulation checks each plan against what it knows of the sequences:
// budgets, slots, block sharing, order, and that each sequence gets exactly the tokens that it
// would get alone.
//
// A failure names its seed: run it again with --gtest_filter='*/SEED'.

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "tests/scheduler/recording_worker.h"

namespace spillway {
namespace {

// What the simulation knows of one sequence, from what went in and came out alone.
struct Client {
  SequenceSpec spec;
  int32_t number = 0;  // of the Add()
  int32_t prompt_tokens = 0;
  SoloSequence solo;
  std::vector<TokenId> known;  // prompt and tokens delivered
  int32_t pending = 0;
  bool live = true;
  bool running = false;
  bool told_started = false;
  bool was_preempted = false;
  SlotId slot{};
  int32_t planned_end = 0;
  size_t block_count = 0;

  int32_t length() const { return static_cast<int32_t>(known.size()) + pending; }
  int32_t to_plan() const {
    return length() - prompt_tokens == spec.new_tokens_max ? 0 : length() - planned_end;
  }
};

bool Before(const Client& a, const Client& b) {
  return std::tuple(-a.spec.priority, a.spec.arrival, a.number) <
         std::tuple(-b.spec.priority, b.spec.arrival, b.number);
}

// How often the interesting things happened: a simulation that never gets there checks nothing.
struct Coverage {
  int64_t hit_tokens = 0, output_hits = 0, skips = 0, pending_slices = 0, ignored_slices = 0;
  int64_t preemptions = 0, preempted_by_priority = 0, tokens_while_waiting = 0,
          ends_while_waiting = 0;
  int64_t expired_running = 0, cancelled_in_flight = 0, ids_reused = 0, bonus_passes = 0;
  int64_t stalled_decodes = 0, finished = 0;
};

class Simulation {
 public:
  Simulation(int seed, Coverage& coverage)
      : rng_(static_cast<uint32_t>(seed)),
        times_(static_cast<uint32_t>(seed)),
        coverage_(coverage),
        limits_(WithStepTarget(seed, RandomLimits())),
        depth_(Uniform(1, 2)),
        sharing_(Uniform(0, 3)),
        scheduler_(limits_),
        worker_(limits_) {
    for (int i = 0; i < 3; ++i) documents_.push_back(RandomTokens(60));
  }

  void Run() {
    for (int i = 0; i < 400; ++i) {
      // Mostly single arrivals, and bursts: several answers to one prompt.
      const int arrivals = Uniform(0, 15) == 0 ? 5 : Uniform(0, 1);
      const std::vector<TokenId> prompt = RandomPrompt();
      for (int k = 0; k < arrivals; ++k) Arrive(SequenceId{next_id_++}, prompt);
      ASSERT_NO_FATAL_FAILURE(DisturbSometimes());
      ASSERT_NO_FATAL_FAILURE(Turn());
    }
    // With no more arrivals everything ends in bounded time.
    for (int i = 0; i < 20'000 && (!live_.empty() || !in_flight_.empty()); ++i) {
      ASSERT_NO_FATAL_FAILURE(Turn());
    }
    const SchedulerLoad load = scheduler_.load();
    EXPECT_TRUE(live_.empty());
    EXPECT_EQ(load.running + load.waiting, 0);
    EXPECT_EQ(load.waiting_prompt_tokens, 0);
    EXPECT_EQ(load.blocks_free, limits_.block_count);
    EXPECT_LE(load.prefix_hit_tokens, load.prefix_query_tokens);
    coverage_.hit_tokens += static_cast<int64_t>(load.prefix_hit_tokens);
  }

 private:
  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng_); }

  SchedulerLimits RandomLimits() {
    SchedulerLimits limits = {.waiting_max = Uniform(1, 30),
                              .running_max = Uniform(1, 8),
                              .step_tokens_max = Uniform(1, 48),
                              .block_tokens = Uniform(1, 8),
                              .block_count = Uniform(6, 40)};
    limits.sequence_tokens_max = Uniform(20, 120);
    limits.prefix_bonus_age_max = absl::Milliseconds(Uniform(0, 600));
    limits.prefix_bonus_candidates_max = Uniform(1, 5);
    limits.prefix_cache = Uniform(0, 7) > 0;
    return limits;
  }

  // Draws from times_ alone, so that a seed's traffic is the same with a target and without.
  SchedulerLimits WithStepTarget(int seed, SchedulerLimits limits) {
    if (seed % 2 == 1) {
      limits.step_target = absl::Milliseconds(std::uniform_int_distribution<int>(1, 30)(times_));
    }
    return limits;
  }
  // A millisecond a step and a token, now and then ten times as long; some are not measured.
  absl::Duration StepTime(size_t rows) {
    const int kind = std::uniform_int_distribution<int>(0, 9)(times_);
    const auto tokens = static_cast<int>(rows) + 1;
    return absl::Milliseconds(kind == 0 ? 0 : (kind == 1 ? 10 : 1) * tokens);
  }

  std::vector<TokenId> RandomTokens(int count) {
    std::vector<TokenId> tokens;
    for (int i = 0; i < count; ++i) tokens.push_back(Uniform(0, kSoloVocabulary - 1));
    return tokens;
  }

  std::vector<TokenId> RandomPrompt() {
    const int kind = sharing_ == 0 ? 0 : Uniform(0, 3);
    if (kind == 0) return RandomTokens(Uniform(1, 40));
    const bool chat = kind == 1 && !ended_chats_.empty();
    std::vector<TokenId> prompt = chat ? ended_chats_[static_cast<size_t>(
                                             Uniform(0, static_cast<int>(ended_chats_.size()) - 1))]
                                       : documents_[static_cast<size_t>(Uniform(0, sharing_ - 1))];
    if (!chat) prompt.resize(static_cast<size_t>(Uniform(1, 50)));
    const std::vector<TokenId> question = RandomTokens(Uniform(0, 6));
    prompt.insert(prompt.end(), question.begin(), question.end());
    return prompt;
  }

  void Arrive(SequenceId id, const std::vector<TokenId>& prompt) {
    auto client = std::make_shared<Client>();
    client->known = prompt;
    client->number = ++clients_made_;
    client->prompt_tokens = static_cast<int32_t>(client->known.size());
    client->spec = {.id = id,
                    .prompt = client->known,
                    .new_tokens_max = Uniform(1, 30),
                    .priority = Uniform(0, 5) == 0 ? Uniform(0, 2) : 1,
                    // Now and then the front door's queue lets a later one in first.
                    .arrival = now_ - absl::Milliseconds(Uniform(0, 3) == 0 ? Uniform(0, 200) : 0),
                    .cache_salt = Uniform(0, 9) == 0 ? 1u : 0u};
    if (Uniform(0, 7) == 0) client->spec.deadline = now_ + absl::Milliseconds(Uniform(0, 4000));
    client->solo =
        SoloSequence(client->spec.cache_salt, client->known, client->spec.new_tokens_max);

    const int32_t tokens_max = client->prompt_tokens + client->spec.new_tokens_max;
    const bool fits = tokens_max <= limits_.sequence_tokens_max &&
                      tokens_max - 1 <= limits_.block_count * limits_.block_tokens;
    const bool full = scheduler_.load().waiting >= limits_.waiting_max;
    const absl::Status status = scheduler_.Add(client->spec);
    if (!fits) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    } else if (full) {
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    } else {
      EXPECT_TRUE(status.ok()) << status;
      live_[id] = client;
    }
  }

  void DisturbSometimes() {
    if (Uniform(0, 24) == 0) scheduler_.ResetPrefixCache();
    if (Uniform(0, 12) > 0) return;
    if (live_.empty()) return scheduler_.Cancel(SequenceId{next_id_ + 1});  // Unknown: ignored.
    const auto it = std::next(live_.begin(), Uniform(0, static_cast<int>(live_.size()) - 1));
    const SequenceId id = it->first;
    if (it->second->pending > 0) ++coverage_.cancelled_in_flight;
    scheduler_.Cancel(id);
    End(id);
    if (Uniform(0, 3) > 0) return;
    Arrive(id, RandomPrompt());
    ++coverage_.ids_reused;
  }

  void End(SequenceId id) {
    Client& client = *live_.at(id);
    client.live = false;
    client.running = false;
    live_.erase(id);
  }

  // Plans or completes, as a loop of this depth might.
  void Turn() {
    const bool may_plan = static_cast<int>(in_flight_.size()) < depth_;
    const bool plans = in_flight_.empty() || (may_plan && Uniform(0, 3) > 0);
    now_ += absl::Milliseconds(Uniform(1, 40));
    if (plans) {
      ASSERT_NO_FATAL_FAILURE(Plan());
    } else {
      ASSERT_NO_FATAL_FAILURE(Complete());
    }
    ASSERT_EQ(scheduler_.plans_in_flight(), static_cast<int32_t>(in_flight_.size()));
    ASSERT_FALSE(::testing::Test::HasFailure());
  }

  struct Row {
    std::shared_ptr<Client> client;
    SlotId slot{};
    bool samples = false;
  };

  void Plan() {
    const StepPlan& plan = scheduler_.PlanStep(now_);
    if (in_flight_.empty() && !live_.empty() && plan.slices.empty()) {
      ASSERT_EQ(plan.expired.size(), live_.size()) << "nothing runs and nothing is in flight";
    }
    ASSERT_NO_FATAL_FAILURE(CheckExpired(plan));
    std::vector<const Client*> must_decode = RunningDecodes();
    for (const SequenceId id : plan.preempted) Preempted(*live_.at(id));
    ASSERT_NO_FATAL_FAILURE(CheckStarts(plan));
    ASSERT_NO_FATAL_FAILURE(CheckBlocks(plan));

    std::vector<Row> rows;
    std::vector<const SoloSequence*> solos;
    int32_t tokens = 0;
    std::map<SlotId, const Client*> slots = SlotsInFlight();
    for (const StepSlice& slice : plan.slices) {
      tokens += slice.count;
      const std::shared_ptr<Client>& client = live_.at(slice.sequence);
      ASSERT_NO_FATAL_FAILURE(CheckSlice(slice, *client));
      const auto [it, inserted] = slots.emplace(slice.slot, client.get());
      ASSERT_EQ(it->second, client.get()) << "two sequences in one slot";
      std::erase(must_decode, client.get());
      rows.push_back({client, slice.slot, slice.samples});
      solos.push_back(&client->solo);
      client->planned_end = slice.begin + slice.count;
      client->pending += slice.samples ? 1 : 0;
    }
    ASSERT_LE(tokens, limits_.step_tokens_max);
    ASSERT_LE(plan.slices.size(), static_cast<size_t>(limits_.running_max));
    for (const Client* client : must_decode) {
      if (!client->running) continue;
      // Only the want of a block excuses it.
      ASSERT_EQ(client->planned_end,
                static_cast<int32_t>(client->block_count) * limits_.block_tokens);
      ASSERT_EQ(scheduler_.load().blocks_free, 0) << "a decode was left out";
      ++coverage_.stalled_decodes;
    }
    ASSERT_NO_FATAL_FAILURE(CheckFirstProgresses(plan));
    if (plan.slices.empty()) return;
    worker_.Launch(plan, solos, /*run_now=*/Uniform(0, 1) == 0);
    in_flight_.push_back(std::move(rows));
  }

  void CheckExpired(const StepPlan& plan) {
    for (const SequenceId id : plan.expired) {
      ASSERT_LT(live_.at(id)->spec.deadline, now_);
      if (live_.at(id)->running) ++coverage_.expired_running;
      End(id);
    }
    for (const auto& [id, client] : live_) ASSERT_GE(client->spec.deadline, now_);
  }

  // Those that have a token to decode, before the plan's slices are looked at.
  std::vector<const Client*> RunningDecodes() const {
    std::vector<const Client*> decodes;
    for (const auto& [id, client] : live_) {
      if (client->running && client->to_plan() == 1) decodes.push_back(client.get());
    }
    return decodes;
  }

  void Preempted(Client& client) {
    client.running = false;
    client.was_preempted = true;
    ++coverage_.preemptions;
  }

  // Nobody who starts or stays may stand behind somebody who had to go or to wait.
  void CheckStarts(const StepPlan& plan) {
    std::vector<const Client*> starts;
    for (const SequenceStart& start : plan.started) {
      Client& client = *live_.at(start.sequence);
      ASSERT_FALSE(std::exchange(client.told_started, true));
      ASSERT_LT(start.cached_tokens, client.prompt_tokens);
      ASSERT_EQ(start.cached_tokens % limits_.block_tokens, 0);
      starts.push_back(&client);
      client.running = true;
      client.planned_end = start.cached_tokens;
      client.block_count = 0;
      client.slot = SlotId{-1};
    }
    for (const StepSlice& slice : plan.slices) {
      Client& client = *live_.at(slice.sequence);
      if (client.running) continue;
      ASSERT_TRUE(client.was_preempted) << "a first start must be told";
      ASSERT_EQ(client.pending, 0);
      starts.push_back(&client);
      client.running = true;
      client.planned_end = slice.begin;
      client.slot = SlotId{-1};
      if (slice.begin > client.prompt_tokens) ++coverage_.output_hits;
    }
    for (const SequenceId id : plan.preempted) {
      ASSERT_FALSE(live_.at(id)->running) << "started by the plan that preempted it";
      for (const auto& [other_id, other] : live_) {
        ASSERT_TRUE(!other->running || Before(*other, *live_.at(id))) << "wrong victim";
      }
      const auto higher = [&](const Client* start) {
        return start->spec.priority > live_.at(id)->spec.priority;
      };
      if (std::ranges::any_of(starts, higher)) ++coverage_.preempted_by_priority;
    }
    // A restart is not told, and one that comes out without budget in the end has no slice either:
    // that it runs shows in the load alone.
    const auto seen = std::ranges::count_if(live_, [](const auto& c) { return c.second->running; });
    const bool restarts_hidden = scheduler_.load().running > seen;
    // What shows now may have started in one of the plans before, ahead of who has come since.
    const bool were_hidden = std::exchange(restarts_hidden_, restarts_hidden);
    for (const Client* start : starts) {
      if (were_hidden && start->was_preempted) continue;
      for (const auto& [id, waiting] : live_) {
        if (waiting->running || (restarts_hidden && waiting->was_preempted)) continue;
        ASSERT_NO_FATAL_FAILURE(CheckOvertaking(*start, *waiting));
      }
    }
  }

  void CheckOvertaking(const Client& start, const Client& waiting) {
    ASSERT_GE(start.spec.priority, waiting.spec.priority) << "priority inverted";
    if (start.spec.priority != waiting.spec.priority) return;
    ASSERT_TRUE(start.was_preempted || !waiting.was_preempted) << "before a preempted one";
    if (start.was_preempted != waiting.was_preempted || Before(start, waiting)) return;
    ASSERT_FALSE(start.was_preempted);
    ASSERT_LE(now_ - waiting.spec.arrival, limits_.prefix_bonus_age_max) << "starved by the bonus";
    ASSERT_TRUE(limits_.prefix_cache);
    ++coverage_.bonus_passes;
  }

  void CheckSlice(const StepSlice& slice, Client& client) {
    ASSERT_GE(slice.count, 1);
    ASSERT_GE(client.to_plan(), 1) << "its last sample is already in flight";
    if (slice.begin != client.planned_end) {  // Others have computed this meanwhile.
      ASSERT_GT(slice.begin, client.planned_end);
      ASSERT_EQ(slice.begin % limits_.block_tokens, 0);
      ASSERT_EQ(client.planned_end % limits_.block_tokens, 0);
      ++coverage_.skips;
    }
    const int32_t end = slice.begin + slice.count;
    ASSERT_LE(end, client.length());
    ASSERT_EQ(slice.samples, end == client.length());
    ASSERT_EQ(slice.last_token_pending, end > static_cast<int32_t>(client.known.size()));
    ASSERT_EQ(slice.tokens.size(),
              static_cast<size_t>(slice.count - (slice.last_token_pending ? 1 : 0)));
    if (slice.last_token_pending) ++coverage_.pending_slices;
    if (client.slot == SlotId{-1}) client.slot = slice.slot;
    ASSERT_EQ(slice.slot, client.slot) << "slots are kept for a run";
    ASSERT_GE(static_cast<int32_t>(slice.slot), 0);
    ASSERT_LT(static_cast<int32_t>(slice.slot), limits_.running_max);
    ASSERT_GE(static_cast<int32_t>(slice.blocks.size()) * limits_.block_tokens, end);
    client.block_count = slice.blocks.size();
  }

  // A block of two sequences is full in both, and stands at the same place.
  void CheckBlocks(const StepPlan& plan) {
    struct Use {
      size_t place;
      int32_t begin;
    };
    std::map<BlockId, Use> uses;
    for (const StepSlice& slice : plan.slices) {
      for (size_t place = 0; place < slice.blocks.size(); ++place) {
        ASSERT_GE(static_cast<int32_t>(slice.blocks[place]), 0);
        ASSERT_LT(static_cast<int32_t>(slice.blocks[place]), limits_.block_count);
        const auto [it, first] = uses.emplace(slice.blocks[place], Use{place, slice.begin});
        if (first) continue;
        const int32_t block_end = (static_cast<int32_t>(place) + 1) * limits_.block_tokens;
        ASSERT_EQ(it->second.place, place);
        ASSERT_LE(block_end, std::min(slice.begin, it->second.begin)) << "shared but not full";
      }
    }
  }

  std::map<SlotId, const Client*> SlotsInFlight() const {
    std::map<SlotId, const Client*> slots;
    for (const std::vector<Row>& rows : in_flight_) {
      for (const Row& row : rows) slots.emplace(row.slot, row.client.get());
    }
    return slots;
  }

  // Of all that run and have something to plan, the first always gets something.
  void CheckFirstProgresses(const StepPlan& plan) {
    const Client* first = nullptr;
    for (const auto& [id, client] : live_) {
      if (client->running && (first == nullptr || Before(*client, *first))) first = client.get();
    }
    if (first == nullptr) return;
    const bool planned = std::ranges::any_of(
        plan.slices, [&](const StepSlice& slice) { return slice.sequence == first->spec.id; });
    ASSERT_TRUE(planned || first->to_plan() == 0) << "the oldest of the highest priority waits";
  }

  void Complete() {
    const std::vector<TokenId> tokens = worker_.Collect();
    const std::vector<Row> rows = std::move(in_flight_.front());
    in_flight_.pop_front();
    std::vector<SampledSlice> sampled;
    std::vector<std::pair<SequenceId, SequenceEnd>> expected;
    for (const Row& row : rows) {
      if (!row.samples) continue;
      const SampledSlice sample{.token = tokens.at(sampled.size()), .stop = Uniform(0, 19) == 0};
      sampled.push_back(sample);
      Client& client = *row.client;
      if (!client.live) {
        ++coverage_.ignored_slices;
        continue;
      }
      ASSERT_EQ(sample.token, client.solo.tokens.at(client.known.size())) << "lost or doubled";
      client.known.push_back(sample.token);
      --client.pending;
      if (!client.running) ++coverage_.tokens_while_waiting;
      const bool length = static_cast<int32_t>(client.known.size()) - client.prompt_tokens ==
                          client.spec.new_tokens_max;
      if (!sample.stop && !length) continue;
      expected.emplace_back(client.spec.id,
                            sample.stop ? SequenceEnd::kStopped : SequenceEnd::kLength);
      if (!client.running) ++coverage_.ends_while_waiting;
      if (client.known.size() < 60) ended_chats_.push_back(client.known);
      End(client.spec.id);
    }
    std::vector<std::pair<SequenceId, SequenceEnd>> finished;
    for (const FinishedSequence& end : scheduler_.CompleteStep(sampled, StepTime(rows.size()))) {
      finished.emplace_back(end.sequence, end.end);
    }
    ASSERT_EQ(finished, expected);
    coverage_.finished += static_cast<int64_t>(finished.size());
  }

  std::mt19937 rng_;
  std::mt19937 times_;
  Coverage& coverage_;
  const SchedulerLimits limits_;
  const int depth_;
  const int sharing_;
  Scheduler scheduler_;
  RecordingWorker worker_;
  absl::Time now_ = absl::UnixEpoch();
  uint64_t next_id_ = 0;
  int32_t clients_made_ = 0;
  bool restarts_hidden_ = false;  // after the last plan
  std::map<SequenceId, std::shared_ptr<Client>> live_;
  std::deque<std::vector<Row>> in_flight_;
  std::vector<std::vector<TokenId>> documents_;
  std::vector<std::vector<TokenId>> ended_chats_;
};

class SchedulerSimulation : public ::testing::TestWithParam<int> {};

TEST_P(SchedulerSimulation, EverySequenceGetsItsTokensAndEveryBlockReturns) {
  SCOPED_TRACE(::testing::Message() << "seed " << GetParam());
  Coverage coverage;
  Simulation(GetParam(), coverage).Run();
}

TEST(SchedulerSimulationCoverage, GetsToEverythingThatItIsToCheck) {
  Coverage coverage;
  for (int seed = 1000; seed < 1060; ++seed) Simulation(seed, coverage).Run();
  EXPECT_GT(coverage.hit_tokens, 1000);
  EXPECT_GT(coverage.output_hits, 10);
  EXPECT_GT(coverage.skips, 10);
  EXPECT_GT(coverage.pending_slices, 1000);
  EXPECT_GT(coverage.ignored_slices, 100);
  EXPECT_GT(coverage.preemptions, 100);
  EXPECT_GT(coverage.preempted_by_priority, 10);
  EXPECT_GT(coverage.tokens_while_waiting, 10);
  EXPECT_GT(coverage.ends_while_waiting, 0);
  EXPECT_GT(coverage.expired_running, 10);
  EXPECT_GT(coverage.cancelled_in_flight, 10);
  EXPECT_GT(coverage.ids_reused, 10);
  EXPECT_GT(coverage.bonus_passes, 10);
  EXPECT_GT(coverage.stalled_decodes, 10);
  EXPECT_GT(coverage.finished, 1000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SchedulerSimulation, ::testing::Range(0, 300));

}  // namespace
}  // namespace spillway
