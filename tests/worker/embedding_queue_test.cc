#include "worker/embedding_queue.h"

#include <algorithm>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Texts = std::vector<std::vector<TokenId>>;

EmbeddingJob Job(Texts texts) {
  return {.texts = std::move(texts), .done = nullptr, .abandoned = [] { return false; }};
}

// A text's vector: its length and its first token.
std::vector<float> RunPass(EmbeddingQueue& queue) {
  std::vector<float> vectors;
  for (const std::span<const TokenId> text : queue.TakeBatch()) {
    vectors.push_back(static_cast<float>(text.size()));
    vectors.push_back(static_cast<float>(text.front()));
  }
  return vectors;
}

EmbeddingQueue SmallQueue(const EmbeddingQueueLimits& limits = {}) {
  return EmbeddingQueue(limits, /*batch_tokens_max=*/10, /*vector_size=*/2);
}

TEST(EmbeddingQueueTest, TextsOfSeveralJobsShareAPass) {
  EmbeddingQueue queue = SmallQueue();
  EXPECT_THAT(queue.TakeBatch(), IsEmpty());
  ASSERT_TRUE(queue.TryAdd(Job({{1, 1}, {2}})));
  ASSERT_TRUE(queue.TryAdd(Job({{3, 3, 3}})));

  const auto completed = queue.Finish(RunPass(queue));

  ASSERT_EQ(completed.size(), 2u);
  EXPECT_THAT(completed[0].vectors, ElementsAre(2, 1, 1, 2));
  EXPECT_THAT(completed[1].vectors, ElementsAre(3, 3));
  EXPECT_EQ(queue.job_count(), 0);
}

TEST(EmbeddingQueueTest, ALongJobNeedsSeveralPassesAndKeepsItsOrder) {
  EmbeddingQueue queue = SmallQueue();
  queue.TryAdd(Job({{1, 1, 1, 1, 1, 1}, {2, 2, 2, 2, 2}, {3}}));
  queue.TryAdd(Job({{4}}));

  EXPECT_THAT(queue.Finish(RunPass(queue)), IsEmpty());
  const auto completed = queue.Finish(RunPass(queue));

  ASSERT_EQ(completed.size(), 2u);
  EXPECT_THAT(completed[0].vectors, ElementsAre(6, 1, 5, 2, 1, 3));
  EXPECT_THAT(completed[1].vectors, ElementsAre(1, 4));
}

TEST(EmbeddingQueueTest, AJobThatComesDuringAPassWaitsForTheNext) {
  EmbeddingQueue queue = SmallQueue();
  queue.TryAdd(Job({{1}}));
  const std::vector<float> vectors = RunPass(queue);
  queue.TryAdd(Job({{2}}));

  EXPECT_EQ(queue.Finish(vectors).size(), 1u);
  EXPECT_EQ(queue.job_count(), 1);
  EXPECT_EQ(queue.Finish(RunPass(queue)).size(), 1u);
}

TEST(EmbeddingQueueTest, JobsAndTokensAreBounded) {
  EmbeddingQueue jobs = SmallQueue({.jobs_max = 2});
  EXPECT_TRUE(jobs.TryAdd(Job({{1}})));
  EXPECT_TRUE(jobs.TryAdd(Job({{2}})));
  EmbeddingJob third = Job({{3}});
  EXPECT_FALSE(jobs.TryAdd(std::move(third)));
  EXPECT_EQ(third.texts.size(), 1u);
  jobs.Finish(RunPass(jobs));
  EXPECT_TRUE(jobs.TryAdd(std::move(third)));

  EmbeddingQueue tokens = SmallQueue({.tokens_max = 5});
  // Alone it is taken, however large: there is nothing to wait for.
  EXPECT_TRUE(tokens.TryAdd(Job({{1, 1, 1}, {1, 1, 1}})));
  EXPECT_FALSE(tokens.TryAdd(Job({{2}})));
  tokens.Finish(RunPass(tokens));
  EXPECT_TRUE(tokens.TryAdd(Job({{2, 2, 2}})));
  EXPECT_TRUE(tokens.TryAdd(Job({{2, 2}})));
  EXPECT_FALSE(tokens.TryAdd(Job({{2}})));
}

TEST(EmbeddingQueueTest, AbandonedJobsAreTakenOut) {
  EmbeddingQueue queue = SmallQueue({.tokens_max = 3});
  bool abandoned = false;
  EmbeddingJob job = Job({{1}, {1}});
  job.abandoned = [&] { return abandoned; };
  queue.TryAdd(std::move(job));
  queue.TryAdd(Job({{2}}));
  EXPECT_THAT(queue.TakeAbandoned(), IsEmpty());
  abandoned = true;

  EXPECT_EQ(queue.TakeAbandoned().size(), 1u);

  EXPECT_TRUE(queue.TryAdd(Job({{3, 3}})));
  EXPECT_EQ(queue.Finish(RunPass(queue)).size(), 2u);
}

TEST(EmbeddingQueueTest, TakeAllEndsEverything) {
  EmbeddingQueue queue = SmallQueue();
  queue.TryAdd(Job({{1}}));
  queue.TryAdd(Job({{2}}));
  queue.TakeBatch();
  EXPECT_EQ(queue.TakeAll().size(), 2u);
  EXPECT_THAT(queue.TakeBatch(), IsEmpty());
}

// Random jobs against a plain list: every job gets its own texts' vectors, in the order of arrival,
// and no pass is too large or smaller than it need be.
TEST(EmbeddingQueueTest, EveryJobGetsItsVectors) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t limit) { return static_cast<size_t>(random()) % limit; };
    EmbeddingQueue queue = SmallQueue();
    std::deque<std::vector<float>> expected;
    for (int step = 0; step < 100; ++step) {
      for (size_t jobs = below(3); jobs > 0; --jobs) {
        Texts texts(1 + below(6));
        std::vector<float> vectors;
        for (auto& text : texts) {
          text.assign(1 + below(10), static_cast<TokenId>(random() % 1000));
          vectors.push_back(static_cast<float>(text.size()));
          vectors.push_back(static_cast<float>(text.front()));
        }
        if (queue.TryAdd(Job(texts))) expected.push_back(vectors);
      }
      const std::vector<float> vectors = RunPass(queue);
      float tokens = 0;
      for (size_t i = 0; i < vectors.size(); i += 2) tokens += vectors[i];
      ASSERT_LE(tokens, 10) << "seed " << seed;
      ASSERT_EQ(vectors.empty(), expected.empty()) << "seed " << seed;
      for (const auto& completed : queue.Finish(vectors)) {
        ASSERT_EQ(completed.vectors, expected.front()) << "seed " << seed;
        expected.pop_front();
      }
      ASSERT_EQ(queue.job_count(), static_cast<int32_t>(expected.size())) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace spillway
